#include "parallel/node_memory.h"

#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace coxswain {

bool may_read_other_processes() {
  static const char kThere = 'x';
  const pid_t parent = getpid();
  prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);  // as Open MPI asks Yama; refused where there is no Yama
  const pid_t child = fork();
  if (child < 0) return false;
  if (child == 0) {
    char here = 0;
    const iovec to{&here, 1}, from{const_cast<char*>(&kThere), 1};
    _exit(process_vm_readv(parent, &to, 1, &from, 1, 0) == 1 && here == kThere ? 0 : 1);
  }
  int status = 1;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void choose_how_messages_travel() {
  constexpr const char* kKey = "OMPI_MCA_btl_vader_single_copy_mechanism";
  if (std::getenv(kKey) == nullptr && !may_read_other_processes()) setenv(kKey, "none", 0);
}

}  // namespace coxswain
