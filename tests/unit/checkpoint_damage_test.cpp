// Damaged checkpoints: whatever was done to a file, its bytes are never loaded; the one before is, and it is said.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "checkpoint_save.h"
#include "io/disk_file.h"
#include "io/hdf5_file.h"
#include "temporary_folder.h"

namespace coxswain {

namespace {

using testing::HasSubstr;

// Checkpoints 10 and 20, written by two ranks.
class CheckpointDamage : public testing::Test {
 protected:
  CheckpointDamage() {
    save_state(path_, 2, 10);
    save_state(path_, 2, 20);
  }
  std::string at(const std::string& name, int step = 20) const { return path_ + '/' + step_name(step) + '/' + name; }

  // The newest is refused with a message that names it and `file`; the one before it is whole.
  void expect_fallback(const std::string& file, const std::string& what) {
    const Restored restored = restore_state(path_, 2, 1);
    EXPECT_EQ(restored.step, 10) << what;
    EXPECT_EQ(restored.difference, "") << what;
    EXPECT_THAT(restored.said, HasSubstr("CHECKPOINT DAMAGED")) << what;
    EXPECT_THAT(restored.said, HasSubstr(at(file))) << what;
    EXPECT_THAT(restored.said, HasSubstr("going back to " + path_ + "/step_00000010")) << what;
  }

  TemporaryFolder folder_;
  std::string path_ = folder_.file("c");
};

constexpr const char* kFiles[] = {"part_00000.h5", "part_00001.h5", "checkpoint.h5", "MANIFEST.json"};

TEST_F(CheckpointDamage, OneFlippedBit) {
  for (const char* file : kFiles) {
    const std::string good = bytes_of(at(file));
    ASSERT_GT(good.size(), 1000u);
    const std::size_t stride = good.size() / 40;
    for (std::size_t place = 0; place < good.size(); place += stride) {
      std::string bad = good;
      bad[place] = static_cast<char>(bad[place] ^ (1 << (place / stride % 8)));
      write_bytes(at(file), bad);
      expect_fallback(file, "byte " + std::to_string(place));
    }
    std::string bad = good;
    bad.back() = static_cast<char>(bad.back() ^ 1);
    write_bytes(at(file), bad);
    expect_fallback(file, "last byte");
    write_bytes(at(file), good);
  }
  EXPECT_EQ(restore_state(path_).step, 20) << "undamaged again";
}

// Every byte of the manifest, since nothing else guards it.
TEST_F(CheckpointDamage, EveryByteOfTheManifest) {
  const std::string good = bytes_of(at("MANIFEST.json"));
  for (std::size_t place = 0; place < good.size(); ++place) {
    std::string bad = good;
    bad[place] = static_cast<char>(bad[place] ^ (1 << (place % 8)));
    EXPECT_THROW(parse_manifest(bad, "x"), Error) << place;
    if (place % 50 == 0) {
      EXPECT_THROW(parse_manifest(good.substr(0, place), "x"), Error) << place;
    }
  }
  EXPECT_THROW(parse_manifest(good + "\n", "x"), Error);
  EXPECT_NO_THROW(parse_manifest(good, "x"));
}

TEST_F(CheckpointDamage, CutExtendedZeroedMissing) {
  for (const char* file : kFiles) {
    const std::string good = bytes_of(at(file));
    write_bytes(at(file), good.substr(0, good.size() - 1));
    expect_fallback(file, "cut by a byte");
    write_bytes(at(file), good.substr(0, good.size() / 2));
    expect_fallback(file, "cut in half");
    write_bytes(at(file), "");
    expect_fallback(file, "empty");
    write_bytes(at(file), good + '\0');
    expect_fallback(file, "extended");
    write_bytes(at(file), std::string(good.size(), '\0'));
    expect_fallback(file, "zeroed");
    std::filesystem::remove(at(file));
    expect_fallback(file, "missing");
    std::filesystem::create_directory(at(file));
    expect_fallback(file, "a folder in its place");
    std::filesystem::remove(at(file));
    write_bytes(at(file), good);
  }
}

TEST_F(CheckpointDamage, PartsSwappedOrOfTwoSteps) {
  const std::string first = bytes_of(at("part_00000.h5")), second = bytes_of(at("part_00001.h5"));
  write_bytes(at("part_00000.h5"), second);
  write_bytes(at("part_00001.h5"), first);
  expect_fallback("part_00000.h5", "swapped");
  write_bytes(at("part_00000.h5"), first);
  write_bytes(at("part_00001.h5"), bytes_of(at("part_00001.h5", 10)));
  expect_fallback("part_00001.h5", "of step 10");
}

TEST_F(CheckpointDamage, ALinkIsNotFollowed) {
  const std::string elsewhere = folder_.file("elsewhere.h5");
  std::filesystem::rename(at("part_00001.h5"), elsewhere);
  std::filesystem::create_symlink(elsewhere, at("part_00001.h5"));
  expect_fallback("part_00001.h5", "a link");
}

TEST_F(CheckpointDamage, AllDamagedIsNeverAFreshStart) {
  for (const int step : {10, 20}) {
    std::string bytes = bytes_of(at("part_00001.h5", step));
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
    write_bytes(at("part_00001.h5", step), bytes);
  }
  try {
    restore_state(path_, 2);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::no_checkpoint);
    EXPECT_TRUE(error.everywhere());
    EXPECT_THAT(error.what(), HasSubstr(at("part_00001.h5", 10)));
    EXPECT_THAT(error.what(), HasSubstr(at("part_00001.h5", 20)));
  }
  std::filesystem::remove_all(path_ + "/step_00000010");
  std::filesystem::remove_all(path_ + "/step_00000020");
  EXPECT_THROW(restore_state(path_), Error) << "'latest' names one that is not there";
}

TEST_F(CheckpointDamage, TheFolderIsTheTruthNotLatest) {
  write_bytes(path_ + "/latest", "");
  EXPECT_EQ(restore_state(path_).step, 20);
  write_bytes(path_ + "/latest", "step_00000010\n");
  EXPECT_EQ(restore_state(path_).step, 20);
  std::filesystem::remove(path_ + "/latest");
  EXPECT_EQ(restore_state(path_).step, 20);
}

TEST_F(CheckpointDamage, LeftoversAreRemovedAndSaid) {
  std::filesystem::create_directory(path_ + "/step_00000030.tmp");
  write_bytes(path_ + "/step_00000030.tmp/part_00000.h5", "half");
  const Restored restored = restore_state(path_, 2);
  EXPECT_EQ(restored.step, 20);
  EXPECT_THAT(restored.said, HasSubstr("step_00000030.tmp"));
  EXPECT_FALSE(std::filesystem::exists(path_ + "/step_00000030.tmp"));
}

// Known to be damaged, it does not count among those kept, and it goes once its step is saved anew.
TEST_F(CheckpointDamage, ADamagedOneIsReplaced) {
  write_bytes(at("part_00000.h5"), "");
  const auto backend = make_cpu_backend();
  const auto world = make_planned_communicator(0, 1);
  CheckpointStore store(*world, *backend, path_, {.every = 1, .keep = 2, .background = false});
  store.set_say(nullptr);
  CheckpointState state(1, 0, 0);
  ASSERT_EQ(store.restore(state.visitor())->step, 10);
  EXPECT_EQ(store.newest_before(30), path_ + "/step_00000010") << "20 is no way back";
  state.fill(15);
  store.save(header_of(15), state.visitor());
  EXPECT_EQ(restore_state(path_).step, 15) << "20 is still damaged";
  state.fill(20);
  store.save(header_of(20), state.visitor());
  store.prune(21);
  store.wait();
  EXPECT_THAT(names_in(path_), testing::ElementsAre("latest", "step_00000015", "step_00000020"));
  const Restored restored = restore_state(path_, 2);
  EXPECT_EQ(restored.step, 20);
  EXPECT_EQ(restored.said, "");
}

// Whoever can write a manifest with a right hash can still not make us open what lies outside the folder.
TEST_F(CheckpointDamage, CraftedManifestsAreRefused) {
  const auto refuse = [&](const auto& change) {
    Manifest manifest = read_manifest(path_ + "/step_00000020");
    change(manifest);
    EXPECT_THROW(parse_manifest(manifest.text(), "x"), Error);
  };
  refuse([](Manifest& m) { m.files[0].name = "../step_00000010/part_00000.h5"; });
  refuse([](Manifest& m) { m.files[0].name = "/etc/passwd"; });
  refuse([](Manifest& m) { m.files.pop_back(); });
  refuse([](Manifest& m) { m.tensors.begin()->second.pieces[0].file = 99; });
  refuse([](Manifest& m) { m.tensors.at("model/final_norm/weight").pieces[0].offset[0] = -1; });
  refuse([](Manifest& m) { m.tensors.begin()->second.pieces.pop_back(); });
  refuse([](Manifest& m) { m.tensors.at("model/final_norm/weight").shape[0] = std::int64_t{1} << 62; });
  EXPECT_NO_THROW(parse_manifest(read_manifest(path_ + "/step_00000020").text(), "x"));
}

TEST(Hdf5File, RefusesWhatLiesElsewhere) {
  const TemporaryFolder folder;
  const std::int32_t values[3] = {1, 2, 3};
  hdf5::File source = hdf5::File::create(folder.file("source.h5"));
  source.create_dataset("/x", hdf5::Element::i32, Shape{3}).write(values);
  source.close();
  hdf5::File file = hdf5::File::create(folder.file("virtual.h5"));
  file.create_virtual("/group/x", hdf5::Element::i32, Shape{3}, {{"source.h5", "/x", Shape{0}, Shape{3}}});
  file.close();
  const hdf5::File reader = hdf5::File::open(folder.file("virtual.h5"));
  EXPECT_TRUE(reader.has("/group/x"));
  EXPECT_FALSE(reader.has("/group/y"));
  EXPECT_FALSE(reader.has("/other/x"));
  EXPECT_THROW(reader.open_dataset("/group/x"), Error);
  EXPECT_THROW(reader.open_dataset("/group/y"), Error);
  EXPECT_THROW(hdf5::File::open(folder.file("missing.h5")), Error);
  write_bytes(folder.file("text.h5"), "not HDF5");
  EXPECT_THROW(hdf5::File::open(folder.file("text.h5")), Error);
}

}  // namespace

}  // namespace coxswain
