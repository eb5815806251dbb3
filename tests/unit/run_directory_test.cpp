// One job owns a run directory; a kill leaves no lock behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <functional>

#include "base/error.h"
#include "checkpoint_save.h"
#include "io/run_directory.h"
#include "temporary_folder.h"
#include "thread_world.h"

namespace coxswain {

namespace {

using testing::HasSubstr;

// A process that owns the directory (or does something else) until it is killed; returns once it says so.
pid_t start(const std::function<void()>& body) {
  int ready[2];
  if (pipe(ready) != 0) return -1;
  const pid_t child = fork();
  if (child == 0) {
    close(ready[0]);
    try {
      body();
    } catch (...) {
      _exit(1);
    }
    if (write(ready[1], "x", 1) != 1) _exit(2);
    for (;;) pause();
  }
  close(ready[1]);
  char answer = 0;
  if (read(ready[0], &answer, 1) != 1) answer = 0;
  close(ready[0]);
  return answer == 'x' ? child : -1;
}

void end(pid_t process) {
  kill(process, SIGKILL);
  waitpid(process, nullptr, 0);
}

std::string refusal(const std::string& path) {
  try {
    const auto world = make_planned_communicator(0, 1);
    const RunDirectory directory(path, *world);
    return {};
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_TRUE(error.everywhere());
    return error.what();
  }
}

TEST(RunDirectory, BelongsToOneJob) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a/run");
  std::unique_ptr<Communicator> world;
  std::unique_ptr<RunDirectory> held;
  const pid_t owner = start([&] {
    world = make_planned_communicator(0, 1);
    held = std::make_unique<RunDirectory>(path, *world);
  });
  ASSERT_GT(owner, 0);
  EXPECT_THAT(refusal(path), HasSubstr("process " + std::to_string(owner)));
  end(owner);
  EXPECT_EQ(refusal(path), "") << "the kernel gave the lock back";
  EXPECT_EQ(refusal(path), "") << "and so does a normal end";
}

// The ranks of one job share it. Another job is kept out while any of them lives, though rank 0 is gone.
TEST(RunDirectory, WaitsForRanksThatOutlivedTheirJob) {
  const TemporaryFolder folder;
  const std::string path = folder.file("run");
  std::unique_ptr<Communicator> world;
  std::unique_ptr<RunDirectory> held;
  const pid_t owner = start([&] {
    world = make_planned_communicator(0, 1);
    held = std::make_unique<RunDirectory>(path, *world);
    // A child shares the lock, as a second rank does; it ends by itself after a while.
    if (fork() == 0) {
      usleep(700000);
      _exit(0);
    }
  });
  ASSERT_GT(owner, 0);
  end(owner);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(refusal(path), "");
  EXPECT_GT(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), 0.2);
}

TEST(RunDirectory, AllRanksShareIt) {
  const TemporaryFolder folder;
  ThreadWorld::run(3, [&](Communicator& world) {
    RunDirectory directory(folder.file("run"), world);
    world.barrier("test");
    const std::string message = world.rank() == 1 ? refusal(folder.file("run")) : "not asked";
    EXPECT_NE(message, "");
    directory.write_deck("[run]\nphase = pretrain\n");
    world.barrier("test");
    EXPECT_EQ(bytes_of(directory.file("deck.ini")), "[run]\nphase = pretrain\n");
    EXPECT_EQ(directory.checkpoints(), folder.file("run/checkpoints"));
  });
  EXPECT_EQ(refusal(folder.file("run")), "");
}

TEST(RunDirectory, ThatCannotBeMadeIsNamed) {
  const TemporaryFolder folder;
  write_bytes(folder.file("a_file"), "");
  const auto world = make_planned_communicator(0, 1);
  try {
    const RunDirectory directory(folder.file("a_file/run"), *world);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::input_output);
    EXPECT_THAT(error.what(), HasSubstr(folder.file("a_file/run")));
  }
}

}  // namespace

}  // namespace coxswain
