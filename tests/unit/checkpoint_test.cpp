// Checkpoints know nothing of the grid: what is saved from any cut is read into any other, bit for bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <future>
#include <set>

#include "base/error.h"
#include "checkpoint_save.h"
#include "temporary_folder.h"

namespace coxswain {

namespace {

using testing::HasSubstr;

template <class Body>
Error error_of(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error;
  }
  return Error(ExitCode::finished, "nothing was thrown");
}

TEST(Checkpoint, AnyCutIsReadIntoAnyOther) {
  std::set<std::string> states;
  for (const int ranks : {1, 2, 4})
    for (const int style : {0, 1}) {
      const TemporaryFolder folder;
      save_state(folder.file("c"), ranks, 7, style, 1 + style);
      states.insert(checkpoint_info(folder.file("c")).state());
      for (const int readers : {1, 3, 4}) {
        const Restored restored = restore_state(folder.file("c"), readers, 1 - style);
        EXPECT_EQ(restored.step, 7);
        EXPECT_EQ(restored.difference, "") << ranks << " ranks in style " << style << " read by " << readers;
        EXPECT_EQ(restored.said, "");
      }
    }
  EXPECT_EQ(states.size(), 1u) << "one state has one hash, whatever the grid";
}

TEST(Checkpoint, FingerprintSeesEveryElement) {
  const TemporaryFolder folder;
  save_state(folder.file("c"), 2, 7);
  save_state(folder.file("c"), 2, 8);
  const Manifest seven = read_manifest(folder.file("c/step_00000007")),
                 eight = read_manifest(folder.file("c/step_00000008"));
  EXPECT_NE(seven.state(), eight.state());
  for (const auto& [name, tensor] : seven.tensors)
    EXPECT_NE(tensor.fingerprint, eight.tensors.at(name).fingerprint) << name;
}

TEST(Checkpoint, NothingThereIsAFreshStart) {
  const TemporaryFolder folder;
  EXPECT_EQ(restore_state(folder.file("never_made")).step, std::nullopt);
  EXPECT_EQ(restore_state(folder.path().string()).step, std::nullopt);
}

TEST(Checkpoint, InfoAndWeightsOfAnotherRun) {
  const TemporaryFolder folder;
  save_state(folder.file("run/checkpoints"), 2, 5);
  for (const char* path : {"run", "run/checkpoints", "run/checkpoints/step_00000005"}) {
    const Manifest manifest = checkpoint_info(folder.file(path));
    EXPECT_EQ(manifest.header.step, 5);
    EXPECT_EQ(manifest.header.tokens, 5000);
    EXPECT_EQ(manifest.header.deck, "[run]\nsteps = 7\n");
    ThreadWorld::run(2, [&](Communicator& world) {
      const auto backend = make_cpu_backend();
      CheckpointReader reader = open_checkpoint(world, *backend, folder.file(path), nullptr);
      std::vector<float> weight(3);
      reader.load([&](Archive& archive) {
        EXPECT_TRUE(archive.reading());
        EXPECT_TRUE(archive.has("model/final_norm/weight"));
        EXPECT_TRUE(archive.has("train/rate"));
        EXPECT_FALSE(archive.has("model/final_norm/bias"));
        archive.tensor({"/model/final_norm/weight", Shape{3}, Shape{0}, Shape{3},
                        TensorView(weight.data(), DType::f32, Shape{3})});
      });
    });
  }
  EXPECT_EQ(error_of([&] { checkpoint_info(folder.path().string()); }).code(), ExitCode::data);
}

TEST(Checkpoint, MismatchNamesTheTensor) {
  const TemporaryFolder folder;
  save_state(folder.file("c"), 1, 5);
  float memory[64] = {};
  double number = 0;
  const auto load = [&](const Piece& piece, ExitCode code) {
    return error_of([&] {
      ThreadWorld::run(2, [&](Communicator& world) {
        const auto backend = make_cpu_backend();
        // Only one rank shows it: all of them get the error.
        open_checkpoint(world, *backend, folder.file("c"), nullptr)
            .load(
                [&](Archive& archive) {
                  if (world.rank() == 1) archive.tensor(piece);
                },
                code);
      });
    });
  };
  const Shape three{3}, four{4}, zero{0};
  const Error missing =
      load({"model/x", three, zero, three, TensorView(memory, DType::f32, three)}, ExitCode::no_checkpoint);
  EXPECT_EQ(missing.code(), ExitCode::no_checkpoint);
  EXPECT_THAT(missing.what(), HasSubstr("model/x"));
  const Error shape =
      load({"model/final_norm/weight", four, zero, four, TensorView(memory, DType::f32, four)}, ExitCode::data);
  EXPECT_EQ(shape.code(), ExitCode::data);
  EXPECT_THAT(shape.what(), HasSubstr("model/final_norm/weight: its shape is [3], not [4]"));
  const Error type =
      load({"model/final_norm/weight", three, zero, three, TensorView(memory, DType::bf16, three)}, ExitCode::data);
  EXPECT_THAT(type.what(), HasSubstr("its type is f32, not bf16"));
  const Error value = error_of([&] {
    const auto backend = make_cpu_backend();
    const auto world = make_planned_communicator(0, 1);
    open_checkpoint(*world, *backend, folder.file("c"), nullptr).load([&](Archive& archive) {
      archive.value("train/step", number);
    });
  });
  EXPECT_EQ(value.code(), ExitCode::no_checkpoint);
  EXPECT_THAT(value.what(), HasSubstr("train/step: it is i64, not f64"));
}

// Writing pieces that leave a hole, overlap or disagree is the program's own fault: no checkpoint comes of it.
TEST(Checkpoint, EachElementExactlyOnce) {
  const auto save = [](std::int64_t offset, std::int64_t count, std::int64_t value_of_rank_1) {
    const TemporaryFolder folder;
    const Error error = error_of([&] {
      ThreadWorld::run(2, [&](Communicator& world) {
        const auto backend = make_cpu_backend();
        CheckpointStore store(world, *backend, folder.file("c"), {});
        float memory[8] = {};
        std::int64_t value = world.rank() == 0 ? 1 : value_of_rank_1;
        const Shape begin{world.rank() == 0 ? 0 : offset}, extent{world.rank() == 0 ? 4 : count};
        store.save(header_of(1), [&](Archive& archive) {
          archive.tensor({"model/x", Shape{8}, begin, extent, TensorView(memory, DType::f32, extent)});
          archive.value("step", value);
        });
        store.wait();
      });
    });
    if (error.code() != ExitCode::finished) {
      EXPECT_THAT(names_in(folder.file("c")), testing::IsEmpty());
    }
    return error;
  };
  EXPECT_EQ(save(4, 4, 1).code(), ExitCode::finished);
  const Error hole = save(5, 3, 1), twice = save(3, 5, 1), overlap = save(3, 4, 1), outside = save(5, 4, 1);
  for (const Error& error : {hole, twice, overlap, outside}) {
    EXPECT_EQ(error.code(), ExitCode::internal);
    EXPECT_THAT(error.what(), HasSubstr("model/x"));
  }
  const Error disagree = save(4, 4, 2);
  EXPECT_EQ(disagree.code(), ExitCode::replicas_disagree);
  EXPECT_THAT(disagree.what(), HasSubstr("'step' differs between rank 0 and rank 1"));
}

TEST(Checkpoint, KeepsTheNewest) {
  const TemporaryFolder folder;
  for (std::uint64_t step = 1; step <= 5; ++step) save_state(folder.file("c"), 2, step, 0, 1, 2);
  EXPECT_THAT(names_in(folder.file("c")), testing::ElementsAre("latest", "step_00000004", "step_00000005"));
  EXPECT_EQ(bytes_of(folder.file("c/latest")), "step_00000005\n");
  save_state(folder.file("c"), 1, 5, 0, 1, 2);  // again: it replaces the one of that step
  EXPECT_THAT(names_in(folder.file("c")), testing::ElementsAre("latest", "step_00000004", "step_00000005"));
  EXPECT_EQ(restore_state(folder.file("c"), 2).step, 5);
}

// The best one stays however old it is, and is what other runs start from; this run goes on from the newest.
TEST(Checkpoint, KeepsTheBest) {
  const TemporaryFolder folder;
  const std::string path = folder.file("run/checkpoints");
  const auto taken = [&](const std::string& from) {
    const auto backend = make_cpu_backend();
    const auto world = make_planned_communicator(0, 1);
    const std::int64_t step = open_checkpoint(*world, *backend, from, nullptr).header().step;
    EXPECT_EQ(checkpoint_info(from).header.step, step);
    return step;
  };
  for (std::uint64_t step = 1; step <= 6; ++step) save_state(path, 2, step, 0, 1, 2, step < 2 ? 0 : step == 6 ? 6 : 2);
  EXPECT_THAT(names_in(path), testing::ElementsAre("best", "latest", "step_00000005", "step_00000006"));
  EXPECT_EQ(bytes_of(path + "/best"), "step_00000006\n");
  for (std::uint64_t step = 7; step <= 9; ++step) save_state(path, 2, step, 0, 1, 2, 6);
  EXPECT_THAT(names_in(path),
              testing::ElementsAre("best", "latest", "step_00000006", "step_00000008", "step_00000009"));
  EXPECT_EQ(taken(folder.file("run")), 6);
  EXPECT_EQ(taken(path), 6);
  EXPECT_EQ(taken(path + "/step_00000008"), 8);
  EXPECT_EQ(restore_state(path, 2).step, 9);
  // What the newest checkpoint says is put right again, whatever a kill or a hand did to the file.
  for (const char* wrong : {"step_00000008\n", "", "nonsense"}) {
    write_bytes(path + "/best", wrong);
    write_bytes(path + "/best.tmp", wrong);
    EXPECT_EQ(restore_state(path).step, 9);
    EXPECT_FALSE(std::filesystem::exists(path + "/best.tmp"));
    EXPECT_EQ(bytes_of(path + "/best"), "step_00000006\n");
  }
  write_bytes(path + "/step_00000009/part_00000.h5", "");
  EXPECT_EQ(taken(folder.file("run")), 6) << "a damaged newest one does not matter to others";
}

TEST(Checkpoint, ABestThatIsLostIsSaid) {
  const TemporaryFolder folder;
  save_state(folder.file("c"), 1, 1, 0, 1, 0, 1);
  save_state(folder.file("c"), 1, 2, 0, 1, 0, 1);
  const auto backend = make_cpu_backend();
  const auto world = make_planned_communicator(0, 1);
  std::string said;
  const auto say = [&](const std::string& line) { said += line; };
  write_bytes(folder.file("c/step_00000001/part_00000.h5"), "");
  EXPECT_EQ(open_checkpoint(*world, *backend, folder.file("c"), say).header().step, 2);
  EXPECT_THAT(said, HasSubstr("CHECKPOINT FALLBACK"));
  said.clear();
  std::filesystem::remove_all(folder.file("c/step_00000001"));
  EXPECT_EQ(open_checkpoint(*world, *backend, folder.file("c"), say).header().step, 2);
  EXPECT_THAT(said, HasSubstr("best names step_00000001, which is not there"));
}

// save() returns before the disk has anything, and what training changes afterwards does not reach the checkpoint.
TEST(Checkpoint, WritesInTheBackground) {
  const TemporaryFolder folder;
  const auto world = make_planned_communicator(0, 1);
  const auto backend = make_cpu_backend();
  CheckpointStore store(*world, *backend, folder.file("c"), {.every = 1, .keep = 0});
  std::promise<void> go;
  std::shared_future<void> may_go = go.get_future().share();
  store.set_stage_hook([may_go](const char* stage) {
    if (std::string(stage) == "part laid out") may_go.wait();
  });
  CheckpointState state(1, 0, 0);
  state.fill(3);
  store.prepare(state.visitor());
  store.save(header_of(3), state.visitor());
  EXPECT_TRUE(store.saving());
  EXPECT_FALSE(store.poll());
  EXPECT_EQ(restore_state(folder.file("other")).step, std::nullopt);
  backend->finish_downloads();
  state.fill(4);
  go.set_value();
  store.wait();
  EXPECT_FALSE(store.saving());
  EXPECT_EQ(store.newest(), folder.file("c/step_00000003"));
  EXPECT_EQ(store.last_save().step, 3);
  EXPECT_GT(store.last_save().write_seconds, store.last_save().stall_seconds);
  EXPECT_EQ(restore_state(folder.file("c")).difference, "");
  EXPECT_EQ(restore_state(folder.file("c")).step, 3);
}

// People look at checkpoints with h5py and h5ls: whole tensors under global names, also after the folder was moved.
TEST(Checkpoint, OtherProgramsSeeWholeTensors) {
  const char* python = "/usr/bin/python3";
  if (std::system("/usr/bin/python3 -c 'import h5py' 2>/dev/null") != 0) GTEST_SKIP() << "python3 has no h5py";
  const TemporaryFolder folder;
  save_state(folder.file("c"), 3, 6, 0, 2);
  std::filesystem::rename(folder.file("c"), folder.file("moved"));
  write_bytes(folder.file("look.py"), R"(
import h5py, sys
f = h5py.File(sys.argv[1] + "/moved/step_00000006/checkpoint.h5", "r")
def mixed(index, size):
    M = (1 << 64) - 1
    h = ((index + 1) * 0x9e3779b97f4a7c15 + 6 * 0xd1b54a32d192ed03 + size) & M
    h = ((h ^ (h >> 31)) * 0xbf58476d1ce4e5b9) & M
    return h ^ (h >> 29)
x = f["/model/embedding/token"]
assert x.shape == (13, 10) and x.dtype == "f4", (x.shape, x.dtype)
bits = x[...].view("u4").ravel()
assert all(int(bits[i]) == mixed(i, len("model/embedding/token")) & 0xbfffffff for i in range(130))
w = f["/model/layer_00/attention/qkv/weight"]
assert w.shape == (6, 8), w.shape
bits = (w[...].astype("f4").view("u4") >> 16).ravel()
assert all(int(bits[i]) == mixed(i, len("model/layer_00/attention/qkv/weight")) & 0xbfff for i in range(48))
assert f["/train/step"][()] == 6 and f["/data/phrase"][()] == b"seed 6", f["/data/phrase"][()]
assert f.attrs["step"] == 6 and "steps = 7" in f.attrs["deck"].decode() , f.attrs["deck"]
)");
  const std::string command =
      std::string("cd / && ") + python + " " + folder.file("look.py") + " " + folder.path().string();
  EXPECT_EQ(std::system(command.c_str()), 0);
  if (std::system("h5ls --version >/dev/null 2>&1") == 0) {
    const std::string list = "h5ls -r " + folder.file("moved/step_00000006/checkpoint.h5") +
                             " | grep -q '/model/layer_00/attention/qkv/weight Dataset {6, 8}'";
    EXPECT_EQ(std::system(list.c_str()), 0);
  }
}

TEST(Checkpoint, LongDecksAndOddTextsSurvive) {
  const TemporaryFolder folder;
  const auto world = make_planned_communicator(0, 1);
  const auto backend = make_cpu_backend();
  CheckpointStore store(*world, *backend, folder.file("c"), {.every = 1, .keep = 0, .background = false});
  std::string deck(300000, 'd'), odd("a\0b\xff\n", 5), nothing;
  std::vector<double> none;
  store.save({1, 2, deck, "", ""}, [&](Archive& archive) {
    archive.value("odd", odd);
    archive.value("nothing", nothing);
    archive.value("none", none);
  });
  std::string odd_again, nothing_again = "x";
  std::vector<double> none_again = {1};
  const auto header = store.restore([&](Archive& archive) {
    archive.value("odd", odd_again);
    archive.value("nothing", nothing_again);
    archive.value("none", none_again);
  });
  EXPECT_EQ(header->deck, deck);
  EXPECT_EQ(odd_again, odd);
  EXPECT_EQ(nothing_again, "");
  EXPECT_TRUE(none_again.empty());
}

}  // namespace

}  // namespace coxswain
