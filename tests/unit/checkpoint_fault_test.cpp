// Saves that do not end well: a kill at every stage, an error on any rank, a full disk, a folder that cannot be
// written. The old checkpoint or the new one is there afterwards, whole, and nothing else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "base/error.h"
#include "checkpoint_save.h"
#include "temporary_folder.h"

namespace coxswain {

namespace {

using testing::HasSubstr;

constexpr const char* kStages[] = {"folder made",       "part laid out",       "part written",     "part synced",
                                   "all parts written", "global file written", "manifest written", "folder renamed",
                                   "latest moved",      "best moved",          "old ones removed"};

// After the rename the checkpoint is there, whatever happens then.
bool is_committed(const std::string& stage) {
  return stage == "folder renamed" || stage == "latest moved" || stage == "best moved" || stage == "old ones removed";
}

// Runs the body in a process of its own. Returns its exit code, or minus the signal that ended it.
template <class Body>
int in_process(const Body& body) {
  const pid_t child = fork();
  if (child == 0) {
    int code = 99;
    try {
      code = body();
    } catch (const Error& error) {
      code = static_cast<int>(error.code());
    } catch (...) {
    }
    _exit(code);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// One rank saves fill(step); the hook may end it.
int save_alone(const std::string& path, std::uint64_t step, const StageHook& hook, std::int64_t best = 0) {
  const auto backend = make_cpu_backend();
  const auto world = make_planned_communicator(0, 1);
  CheckpointStore store(*world, *backend, path, {.every = 1, .keep = 2});
  store.set_stage_hook(hook);
  CheckpointState state(1, 0, 0);
  state.fill(step);
  store.save(header_of(static_cast<std::int64_t>(step), best), state.visitor());
  store.wait();
  store.prune(static_cast<std::int64_t>(step) + 1);
  store.wait();
  return 0;
}

void expect_only_whole_ones(const std::string& path) {
  for (const std::string& name : names_in(path))
    EXPECT_TRUE(name == "latest" || (name.starts_with("step_") && !name.ends_with(".tmp"))) << name;
}

TEST(CheckpointFault, KilledAtEachStage) {
  for (const char* fatal : kStages) {
    const TemporaryFolder folder;
    const std::string path = folder.file("c");
    for (const std::uint64_t step : {1, 2})
      ASSERT_EQ(in_process([&] { return save_alone(path, step, [](const char*) {}); }), 0);
    const auto kill_there = [&](const char* stage) {
      if (std::string(stage) == fatal) kill(getpid(), SIGKILL);
    };
    EXPECT_EQ(in_process([&] { return save_alone(path, 3, kill_there); }), -SIGKILL) << fatal;
    const Restored restored = restore_state(path, 2, 1);
    EXPECT_EQ(restored.step, is_committed(fatal) ? 3 : 2) << fatal;
    EXPECT_EQ(restored.difference, "") << fatal;
    EXPECT_THAT(restored.said, testing::Not(HasSubstr("DAMAGED"))) << fatal;
    expect_only_whole_ones(path);
    ASSERT_EQ(in_process([&] { return save_alone(path, 4, [](const char*) {}); }), 0) << fatal;
    EXPECT_EQ(restore_state(path).step, 4) << fatal;
  }
}

// Step 3 is better than step 1: until it is committed, step 1 stays and `best` names it; from then on step 3 is named
// and, at the latest after the next save, step 1 has gone.
TEST(CheckpointFault, KilledWhileTheBestChanges) {
  for (const char* fatal : kStages) {
    const TemporaryFolder folder;
    const std::string path = folder.file("c");
    for (const std::uint64_t step : {1, 2})
      ASSERT_EQ(in_process([&] {
                  return save_alone(
                      path, step, [](const char*) {}, 1);
                }),
                0);
    const auto kill_there = [&](const char* stage) {
      if (std::string(stage) == fatal) kill(getpid(), SIGKILL);
    };
    EXPECT_EQ(in_process([&] { return save_alone(path, 3, kill_there, 3); }), -SIGKILL) << fatal;
    const std::int64_t best = checkpoint_info(path).header.step;
    EXPECT_TRUE(best == 1 || (best == 3 && is_committed(fatal))) << fatal << ": " << best;
    EXPECT_EQ(restore_state(path, 2, 1).difference, "") << fatal;
    EXPECT_EQ(bytes_of(path + "/best"), is_committed(fatal) ? "step_00000003\n" : "step_00000001\n") << fatal;
    ASSERT_EQ(in_process([&] {
                return save_alone(
                    path, 3, [](const char*) {}, 3);
              }),
              0)
        << fatal;
    ASSERT_EQ(in_process([&] {
                return save_alone(
                    path, 4, [](const char*) {}, 3);
              }),
              0)
        << fatal;
    EXPECT_EQ(checkpoint_info(path).header.step, 3) << fatal;
    EXPECT_THAT(names_in(path), testing::ElementsAre("best", "latest", "step_00000003", "step_00000004")) << fatal;
  }
}

TEST(CheckpointFault, KilledInTheFirstSaveIsAFreshStartThatSaysSo) {
  const TemporaryFolder folder;
  const auto kill_there = [&](const char* stage) {
    if (std::string(stage) == "part written") kill(getpid(), SIGKILL);
  };
  EXPECT_EQ(in_process([&] { return save_alone(folder.file("c"), 3, kill_there); }), -SIGKILL);
  const Restored restored = restore_state(folder.file("c"));
  EXPECT_EQ(restored.step, std::nullopt);
  EXPECT_THAT(restored.said, HasSubstr("step_00000003.tmp"));
}

// An error on one rank is every rank's error; nobody waits, nothing of the save stays, and the next one works.
TEST(CheckpointFault, AnErrorOnOneRankIsEverybodys) {
  for (const char* fatal : kStages)
    for (int unlucky = 0; unlucky < 3; ++unlucky) {
      const bool on_all = std::string(fatal).starts_with("part");
      if (unlucky != 0 && !on_all) continue;
      const TemporaryFolder folder;
      const std::string path = folder.file("c");
      save_state(path, 3, 1);
      std::atomic<int> threw = 0;
      std::string said;
      ThreadWorld::run(3, [&](Communicator& world) {
        const auto backend = make_cpu_backend();
        CheckpointStore store(world, *backend, path, {.every = 1, .keep = 0});
        store.set_say([&](const std::string& line) { said += line; });
        CheckpointState state(3, world.rank(), 0);
        state.fill(2);
        store.set_stage_hook([&](const char* stage) {
          if (world.rank() == unlucky && std::string(stage) == fatal)
            throw Error(ExitCode::input_output, "cannot write there: No space left on device");
        });
        try {
          store.save(header_of(2), state.visitor());
          store.wait();
          store.prune(3);
          store.wait();
        } catch (const Error& error) {
          ++threw;
          EXPECT_EQ(error.code(), ExitCode::input_output);
          EXPECT_TRUE(error.everywhere());
          EXPECT_THAT(error.what(), HasSubstr("No space left on device"));
          EXPECT_THAT(error.what(), HasSubstr("bytes in " + path));
        }
        store.set_stage_hook([](const char*) {});
        EXPECT_FALSE(store.saving());
        state.fill(3);
        store.save(header_of(3), state.visitor());
        store.wait();
      });
      EXPECT_EQ(threw, is_committed(fatal) ? 0 : 3) << fatal << " on rank " << unlucky;
      EXPECT_EQ(said.find("is complete, but") != std::string::npos, is_committed(fatal)) << said;
      expect_only_whole_ones(path);
      EXPECT_EQ(restore_state(path, 2).step, 3);
      EXPECT_EQ(restore_state(path, 2).difference, "");
    }
}

// The system refuses to write beyond X bytes of any file, for many X: as a full disk does, at every place of a save.
TEST(CheckpointFault, NoFileMayGrowBeyondALimit) {
  const TemporaryFolder folder;
  const std::string path = folder.file("c");
  ASSERT_EQ(in_process([&] { return save_alone(path, 1, [](const char*) {}); }), 0);
  std::int64_t largest = 0;
  for (const std::string& name : names_in(path + "/step_00000001"))
    largest = std::max(largest, static_cast<std::int64_t>(std::filesystem::file_size(path + "/step_00000001/" + name)));
  for (std::int64_t limit = 0; limit < largest; limit += largest / 25 + 1) {
    const int code = in_process([&] {
      signal(SIGXFSZ, SIG_IGN);
      const rlimit bytes{static_cast<rlim_t>(limit), static_cast<rlim_t>(limit)};
      setrlimit(RLIMIT_FSIZE, &bytes);
      return save_alone(path, 2, [](const char*) {});
    });
    EXPECT_EQ(code, 74) << limit;
    expect_only_whole_ones(path);
    const Restored restored = restore_state(path);
    EXPECT_EQ(restored.step, 1) << limit;
    EXPECT_EQ(restored.difference, "") << limit;
  }
}

TEST(CheckpointFault, FullDisk) {
  const TemporaryFolder folder;
  const int mounted = in_process([&] {
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 1;
    return mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=64k") == 0 ? 0 : 1;
  });
  if (mounted != 0) GTEST_SKIP() << "no right to mount a small file system";
  int full = 0;
  for (int kibibytes = 32; kibibytes <= 160; kibibytes += 4) {
    const int code = in_process([&] {
      const std::string size = "size=" + std::to_string(kibibytes) + "k";
      if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
          mount("tmpfs", folder.path().c_str(), "tmpfs", 0, size.c_str()) != 0)
        return 1;
      int last = 0;  // as many checkpoints as fit, all of them kept
      try {
        for (int step = 1; step < 100; ++step, ++last)
          save_state(folder.file("c"), 2, static_cast<std::uint64_t>(step));
      } catch (const Error& error) {
        if (error.code() != ExitCode::input_output || std::string(error.what()).find("free") == std::string::npos)
          return 2;
      }
      if (last == 0) return restore_state(folder.file("c")).step ? 3 : 0;
      const Restored restored = restore_state(folder.file("c"), 3, 1);
      return restored.step == last && restored.difference.empty() ? 50 : 4;
    });
    EXPECT_TRUE(code == 0 || code == 50) << kibibytes << " KiB: " << code;
    full += code == 50;
  }
  EXPECT_GT(full, 3) << "some sizes must have room for one checkpoint";
}

TEST(CheckpointFault, FolderThatCannotBeWritten) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder.file("read_only"));
  std::filesystem::permissions(folder.path(), std::filesystem::perms::all);
  std::filesystem::permissions(folder.file("read_only"), std::filesystem::perms(0555));
  write_bytes(folder.file("a_file"), "");
  for (const char* name : {"read_only", "a_file"}) {
    const int code = in_process([&] {
      if (geteuid() == 0 && setuid(65534) != 0) return 1;
      try {
        return save_alone(folder.file(name) + "/checkpoints", 1, [](const char*) {});
      } catch (const Error& error) {
        if (std::string(error.what()).find(folder.file(name)) == std::string::npos) return 2;
        throw;
      }
    });
    EXPECT_EQ(code, 74) << name;
  }
}

}  // namespace

}  // namespace coxswain
