// Where a container forbids reading another process's memory, Open MPI must be told before it starts.
#include "parallel/node_memory.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <string>

namespace coxswain {

namespace {

constexpr const char* kKey = "OMPI_MCA_btl_vader_single_copy_mechanism";
constexpr int kNoFilter = 99;

// As container engines do it: the system call fails with EPERM for this process and its children.
bool forbid_reading() {
  sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{4, rules};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// What the key holds after the choice in a child process; "" if it is not set.
std::string choice(bool forbidden, const char* set_before) {
  int pipe_ends[2];
  EXPECT_EQ(pipe(pipe_ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    unsetenv(kKey);
    if (set_before != nullptr) setenv(kKey, set_before, 1);
    if (forbidden && !forbid_reading()) _exit(kNoFilter);
    choose_how_messages_travel();
    const char* const value = std::getenv(kKey);
    const std::string text = value == nullptr ? "" : value;
    _exit(write(pipe_ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : 1);
  }
  close(pipe_ends[1]);
  std::string result(16, '\0');
  const ssize_t length = read(pipe_ends[0], result.data(), result.size());
  close(pipe_ends[0]);
  int status = 1;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kNoFilter) return "no filter";
  EXPECT_EQ(status, 0);
  result.resize(static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
  return result;
}

}  // namespace

TEST(NodeMemory, IsNotReadWhereThatIsForbidden) {
  const std::string result = choice(true, nullptr);
  if (result == "no filter") GTEST_SKIP() << "this system lets no process set a seccomp filter";
  EXPECT_EQ(result, "none");
}

TEST(NodeMemory, IsReadWhereThatIsAllowed) {
  EXPECT_EQ(choice(false, nullptr), may_read_other_processes() ? "" : "none");
}

TEST(NodeMemory, FollowsTheUser) {
  const std::string result = choice(true, "cma");
  if (result == "no filter") GTEST_SKIP() << "this system lets no process set a seccomp filter";
  EXPECT_EQ(result, "cma");
}

}  // namespace coxswain
