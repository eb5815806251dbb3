// The way of the bytes of a save: copied, hashed, written, read back and fingerprinted side by side.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <numeric>

#include "base/error.h"
#include "checkpoint_save.h"
#include "io/fingerprint.h"
#include "io/part_bytes.h"
#include "kernels/cpu/cpu_backend.h"
#include "temporary_folder.h"

namespace coxswain {

namespace {

using testing::HasSubstr;

// Waits before its first download, and fails from the download number `bad` on.
class SlowBackend : public CpuBackend {
 public:
  explicit SlowBackend(int bad = 1 << 30) : bad_(bad) {}
  std::promise<void> go;

 private:
  void do_download_aside(TensorView src, void* host) override {
    if (count_ == 0) go.get_future().wait();
    if (++count_ >= bad_) throw Error(ExitCode::internal, "the device is gone");
    CpuBackend::do_download_aside(src, host);
  }
  int bad_, count_ = 0;
};

std::vector<float> numbers(std::size_t count) {
  std::vector<float> list(count);
  std::iota(list.begin(), list.end(), 1.0F);
  return list;
}

// Two tensors of one dimension.
Visit two(std::vector<float>& a, std::vector<float>& b) {
  return [&](Archive& archive) {
    for (auto& [name, list] : {std::pair<std::string, std::vector<float>&>("a", a), {"b", b}}) {
      const Shape shape{static_cast<std::int64_t>(list.size())};
      archive.tensor({name, shape, Shape{0}, shape, TensorView(list.data(), DType::f32, shape)});
    }
  };
}

TEST(CheckpointWrite, ABoxIsThereOnceItHasBeenCopied) {
  std::vector<float> a = numbers(1000), b = numbers(77);
  SlowBackend backend;
  Snapshot snapshot;
  snapshot.plan(two(a, b));
  auto reader = std::async(std::launch::async, [&] {
    const auto* found = reinterpret_cast<const float*>(snapshot.memory(snapshot.boxes()[1]));
    return std::vector<float>(found, found + b.size());
  });
  snapshot.copy(backend);
  EXPECT_EQ(reader.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  backend.go.set_value();
  EXPECT_EQ(reader.get(), b);
}

TEST(CheckpointWrite, WhoWaitsForAFailedCopyIsTold) {
  std::vector<float> a = numbers(1000), b = numbers(77);
  SlowBackend backend(2);
  Snapshot snapshot;
  snapshot.plan(two(a, b));
  auto reader = std::async(std::launch::async, [&] { return snapshot.memory(snapshot.boxes()[1]); });
  backend.go.set_value();
  snapshot.copy(backend);
  EXPECT_THROW(reader.get(), Error);
  EXPECT_EQ(std::memcmp(snapshot.memory(snapshot.boxes()[0]), a.data(), 4000), 0);
}

// Many blocks, and the odd bytes at their ends: hash and fingerprints are those that one pass over all would give.
TEST(CheckpointWrite, HashesWhatMemoryHoldsAndTheFileHas) {
  const TemporaryFolder folder;
  std::vector<float> a = numbers((std::size_t{9} << 20) / 4 + 3), b = numbers(77);
  const auto backend = make_cpu_backend();
  Snapshot snapshot;
  snapshot.plan(two(a, b));
  snapshot.copy(*backend);
  const std::string path = folder.file("part");
  const std::int64_t gap = 100, second = gap + static_cast<std::int64_t>(a.size()) * 4 + 1;
  const std::int64_t total = second + 77 * 4 + 5;
  write_bytes(path, std::string(static_cast<std::size_t>(total), 'h'));
  const std::vector<PlacedBox> boxes = {{&snapshot.boxes()[0], "/a", gap}, {&snapshot.boxes()[1], "/b", second}};
  const PartBytes written = write_part_bytes(path, boxes, snapshot, [](const char*) {});
  EXPECT_EQ(written.file, hash_file(path));
  const std::string bytes = bytes_of(path);
  ASSERT_EQ(static_cast<std::int64_t>(bytes.size()), total);
  EXPECT_EQ(bytes.substr(0, 100), std::string(100, 'h'));
  EXPECT_EQ(std::memcmp(bytes.data() + gap, a.data(), a.size() * 4), 0);
  EXPECT_EQ(bytes[static_cast<std::size_t>(second) - 1], 'h');
  EXPECT_EQ(std::memcmp(bytes.data() + second, b.data(), b.size() * 4), 0);
  EXPECT_EQ(bytes.substr(bytes.size() - 5), "hhhhh");
  for (const auto& [list, fingerprint_found] : {std::pair(a, written.fingerprints[0]), {b, written.fingerprints[1]}}) {
    const Shape shape{static_cast<std::int64_t>(list.size())};
    EXPECT_EQ(fingerprint_found, fingerprint(DType::f32, list.data(), shape, Shape{0}, shape));
  }
}

// The step after a save may begin before the state is on the host, but it does not change the state until it is.
TEST(CheckpointWrite, AnUpdateWaitsForTheCopy) {
  const TemporaryFolder folder;
  const std::string path = folder.file("c");
  const auto world = make_planned_communicator(0, 1);
  SlowBackend backend;
  CheckpointStore store(*world, backend, path, {.every = 1, .keep = 1, .background = true});
  CheckpointState state(1, 0, 0);
  state.fill(2);
  store.save(header_of(2), state.visitor());
  auto later = std::async(std::launch::async, [&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    backend.go.set_value();
  });
  state.clear(backend);
  store.wait();
  EXPECT_GE(store.last_save().stall_seconds, 0.04);
  EXPECT_EQ(restore_state(path).difference, "");
}

// One rank's device fails in the middle of the copy, while the writers of all ranks are at work or about to be.
TEST(CheckpointWrite, AFailedCopyOnOneRankIsEverybodys) {
  for (const bool background : {false, true}) {
    const TemporaryFolder folder;
    const std::string path = folder.file("c");
    save_state(path, 3, 1);
    std::atomic<int> threw = 0;
    ThreadWorld::run(3, [&](Communicator& world) {
      SlowBackend backend(world.rank() == 1 ? 3 : 1 << 30);
      backend.go.set_value();
      CheckpointStore store(world, backend, path, {.every = 1, .keep = 0, .background = background});
      CheckpointState state(3, world.rank(), 0);
      state.fill(2);
      try {
        store.save(header_of(2), state.visitor());
        store.wait();
      } catch (const Error& error) {
        ++threw;
        EXPECT_TRUE(error.everywhere());
        EXPECT_THAT(error.what(), HasSubstr("the device is gone"));
      }
      EXPECT_FALSE(store.saving());
    });
    EXPECT_EQ(threw, 3);
    EXPECT_THAT(names_in(path), testing::ElementsAre("latest", "step_00000001"));
    EXPECT_EQ(restore_state(path).difference, "");
  }
}

// A save in the foreground is whole when save() returns; old checkpoints go meanwhile, and wait() waits for that.
TEST(CheckpointWrite, OldOnesAreRemovedAfterwards) {
  const TemporaryFolder folder;
  const std::string path = folder.file("c");
  save_state(path, 1, 1);
  const auto world = make_planned_communicator(0, 1);
  const auto backend = make_cpu_backend();
  CheckpointStore store(*world, *backend, path, {.every = 1, .keep = 1, .background = false});
  std::promise<void> go;
  std::shared_future<void> may_go = go.get_future().share();
  store.set_stage_hook([may_go](const char* stage) {
    if (std::string(stage) == "old ones removed") may_go.wait();
  });
  CheckpointState state(1, 0, 0);
  state.fill(2);
  store.save(header_of(2), state.visitor());
  EXPECT_FALSE(store.saving());
  EXPECT_EQ(store.newest(), path + "/step_00000002");
  EXPECT_EQ(store.last_save().write_seconds, store.last_save().stall_seconds);
  store.prune(2);
  store.wait();
  EXPECT_THAT(names_in(path), testing::ElementsAre("latest", "step_00000001", "step_00000002"))
      << "not known to be good";
  EXPECT_EQ(store.newest_before(2), path + "/step_00000001");
  EXPECT_EQ(store.newest_before(1), "");
  store.prune(3);
  EXPECT_FALSE(store.poll()) << "it does not wait for the removal";
  go.set_value();
  store.wait();
  EXPECT_THAT(names_in(path), testing::ElementsAre("latest", "step_00000002"));
  EXPECT_EQ(restore_state(path).difference, "");
}

// A lower [checkpoint] keep holds from the restart on, once a step has shown that the newest is good.
TEST(CheckpointWrite, ARestartMayKeepFewer) {
  const TemporaryFolder folder;
  const std::string path = folder.file("c");
  save_state(path, 1, 1);
  save_state(path, 1, 2);
  const auto world = make_planned_communicator(0, 1);
  const auto backend = make_cpu_backend();
  CheckpointStore store(*world, *backend, path, {.every = 1, .keep = 1});
  CheckpointState state(1, 0, 0);
  ASSERT_EQ(store.restore(state.visitor())->step, 2);
  store.prune(2);
  store.wait();
  EXPECT_THAT(names_in(path), testing::ElementsAre("latest", "step_00000001", "step_00000002"));
  store.prune(3);
  store.wait();
  EXPECT_THAT(names_in(path), testing::ElementsAre("latest", "step_00000002"));
}

// Where `latest` could not be moved, what it names stays.
TEST(CheckpointWrite, NothingGoesAfterAHalfDoneCommit) {
  const TemporaryFolder folder;
  const std::string path = folder.file("c");
  save_state(path, 1, 1);
  const auto world = make_planned_communicator(0, 1);
  const auto backend = make_cpu_backend();
  CheckpointStore store(*world, *backend, path, {.every = 1, .keep = 1, .background = false});
  store.set_say(nullptr);
  store.set_stage_hook([](const char* stage) {
    if (std::string(stage) == "folder renamed") throw Error(ExitCode::input_output, "no room");
  });
  CheckpointState state(1, 0, 0);
  state.fill(2);
  store.save(header_of(2), state.visitor());
  store.prune(3);
  store.wait();
  EXPECT_THAT(names_in(path), testing::ElementsAre("latest", "step_00000001", "step_00000002"));
  EXPECT_EQ(bytes_of(path + "/latest"), "step_00000001\n");
}

}  // namespace

}  // namespace coxswain
