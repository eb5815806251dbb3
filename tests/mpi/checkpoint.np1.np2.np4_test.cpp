// Checkpoints under MPI: all ranks write, any number of them read, and an error on one rank is everybody's.
#include <gtest/gtest.h>

#include <filesystem>

#include "../unit/checkpoint_state.h"
#include "base/error.h"
#include "io/checkpoint_store.h"
#include "io/run_directory.h"
#include "mpi_test.h"

namespace coxswain {

namespace {

// A folder that all ranks share; rank 0 makes it and removes it.
class SharedFolder {
 public:
  SharedFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "coxswain_test_XXXXXX").string();
    if (world().rank() == 0 && mkdtemp(name.data()) == nullptr) throw Error(ExitCode::input_output, "mkdtemp " + name);
    path_ = world().broadcast(name, 0, "test folder");
  }
  ~SharedFolder() {
    std::error_code ignored;
    world().barrier("test folder");
    if (world().rank() == 0) std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void save(const std::string& path, std::uint64_t seed, int style, int pieces) {
  const auto backend = make_cpu_backend();
  CheckpointStore store(world(), *backend, path, {.every = 1, .keep = 2});
  CheckpointState state(world().size(), world().rank(), style, pieces);
  state.fill(seed);
  store.save({static_cast<std::int64_t>(seed), 0, "", "", ""}, state.visitor());
  state.clear(*backend);
  int polls = 0;
  while (store.saving()) {
    const bool committed = store.poll();
    EXPECT_EQ(committed, !store.saving());
    ++polls;
  }
  EXPECT_GT(polls, 1);
  EXPECT_EQ(store.last_save().step, static_cast<std::int64_t>(seed));
}

TEST(CheckpointMpi, WrittenByAllReadByAnyNumber) {
  const SharedFolder folder;
  for (const int style : {0, 1}) {
    const std::string path = folder.path() + "/run" + std::to_string(style);
    const RunDirectory directory(path, world());
    save(directory.checkpoints(), 7, style, 2 - style);
    save(directory.checkpoints(), 8, 1 - style, 1 + style);
    // As many readers as there are ranks, then half of them, then each alone.
    for (int readers = world().size(); readers >= 1; readers /= 2) {
      const auto group = world().split(world().rank() / readers, world().rank(), "readers");
      const auto backend = make_cpu_backend();
      CheckpointStore store(*group, *backend, directory.checkpoints(), {});
      CheckpointState state(group->size(), group->rank(), style);
      state.clear();
      EXPECT_EQ(store.restore(state.visitor())->step, 8);
      EXPECT_EQ(state.difference(8), "") << readers << " readers";
      world().barrier("readers");
    }
  }
  world().barrier("written");
  // Only the files differ between the two cuts, never the state.
  EXPECT_EQ(checkpoint_info(folder.path() + "/run0").state(), checkpoint_info(folder.path() + "/run1").state());
}

TEST(CheckpointMpi, AnErrorOnTheLastRankIsEverybodys) {
  const SharedFolder folder;
  save(folder.path(), 1, 0, 1);
  const auto backend = make_cpu_backend();
  CheckpointStore store(world(), *backend, folder.path(), {.every = 1, .keep = 2});
  CheckpointState state(world().size(), world().rank(), 0);
  state.fill(2);
  store.set_stage_hook([](const char* stage) {
    if (world().rank() == world().size() - 1 && std::string(stage) == "part written")
      throw Error(ExitCode::input_output, "the disk is full");
  });
  store.save({2, 0, "", "", ""}, state.visitor());
  try {
    store.wait();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::input_output);
    EXPECT_TRUE(error.everywhere());
  }
  store.set_stage_hook([](const char*) {});
  EXPECT_EQ(store.restore(state.visitor())->step, 1);
  EXPECT_EQ(state.difference(1), "");
}

// As where one data rank alone owns the weights of a head that the checkpoint lacks, and all gather weights afterwards.
TEST(CheckpointMpi, ATensorThatOneRankMissesLeavesNobodyWaiting) {
  const SharedFolder folder;
  save(folder.path(), 1, 0, 1);
  const auto backend = make_cpu_backend();
  CheckpointStore store(world(), *backend, folder.path(), {.every = 1, .keep = 2});
  CheckpointState state(world().size(), world().rank(), 0);
  std::vector<float> score(2, 5.0f);
  const TensorView memory(score.data(), DType::f32, Shape{2});
  const bool asks = world().rank() == world().size() - 1;
  try {
    store.restore([&](Archive& archive) {
      state.visit(archive);
      if (asks) archive.tensor({"model/score/weight", Shape{2}, Shape{0}, Shape{2}, memory});
      world().barrier("weights");
    });
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("model/score/weight: the checkpoint has no such tensor"),
              std::string::npos)
        << error.what();
    EXPECT_TRUE(error.everywhere());
  }
  EXPECT_EQ(score[0], asks ? 0.0f : 5.0f) << "nothing undefined is left to work with";
}

}  // namespace

}  // namespace coxswain
