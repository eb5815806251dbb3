#include "io/part_bytes.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <future>
#include <memory>
#include <span>

#include "io/fingerprint.h"
#include "io/progress.h"

namespace coxswain {

namespace {

// Small enough to stay in a core's cache between hashing and writing, and between writing and reading back.
constexpr std::int64_t kBlock = std::int64_t{1} << 20;
constexpr std::int64_t kSent = std::int64_t{8} << 20;  // at a time, to the disk

class RunningHash {
 public:
  RunningHash() : state_(XXH3_createState(), XXH3_freeState) { XXH3_64bits_reset(state_.get()); }
  void update(std::span<const std::byte> bytes) { XXH3_64bits_update(state_.get(), bytes.data(), bytes.size()); }
  std::uint64_t digest() const { return XXH3_64bits_digest(state_.get()); }

 private:
  std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state_;
};

// Writes in the order of the file, and hashes all of it: HDF5's own bytes between the datasets are read back.
class Writer {
 public:
  Writer(DiskFile& file, Progress& written) : file_(file), written_(written) {}

  void skip_to(std::int64_t end) {
    std::vector<std::byte> gap(static_cast<std::size_t>(end - at_));
    file_.read(at_, gap);
    hash_.update(gap);
    move_to(end);
  }
  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const std::span<const std::byte> block = bytes.first(std::min<std::size_t>(bytes.size(), kBlock));
      hash_.update(block);
      file_.write(at_, block);
      move_to(at_ + static_cast<std::int64_t>(block.size()));
      bytes = bytes.subspan(block.size());
    }
  }
  std::uint64_t digest() const { return hash_.digest(); }

 private:
  void move_to(std::int64_t place) {
    at_ = place;
    written_.reach(at_);
    if (at_ - sent_ < kSent) return;
    file_.send(sent_, at_ - sent_);
    sent_ = at_;
  }

  DiskFile& file_;
  Progress& written_;
  RunningHash hash_;
  std::int64_t at_ = 0, sent_ = 0;
};

// Of what the file holds, as far as it has been written.
std::uint64_t hash_behind(const DiskFile& file, std::int64_t bytes, const Progress& written) {
  RunningHash hash;
  std::vector<std::byte> block;
  for (std::int64_t at = 0; at < bytes; at += static_cast<std::int64_t>(block.size())) {
    block.resize(static_cast<std::size_t>(std::min<std::int64_t>(bytes - at, kBlock)));
    if (!written.wait(at + static_cast<std::int64_t>(block.size()))) return 0;
    file.read(at, block);
    hash.update(block);
  }
  return hash.digest();
}

std::vector<std::uint64_t> fingerprints_of(const std::vector<PlacedBox>& boxes, const Snapshot& snapshot) {
  std::vector<std::uint64_t> list;
  for (const PlacedBox& placed : boxes) {
    const Snapshot::Box& box = *placed.box;
    list.push_back(fingerprint(box.dtype, snapshot.memory(box), box.global, box.offset, box.count));
  }
  return list;
}

struct GiveUpAtExit {
  Progress& progress;
  ~GiveUpAtExit() { progress.give_up(); }
};

}  // namespace

PartBytes write_part_bytes(const std::string& path, const std::vector<PlacedBox>& boxes, const Snapshot& snapshot,
                           const StageHook& at_stage) {
  std::vector<const PlacedBox*> order;
  for (const PlacedBox& placed : boxes)
    if (placed.box->bytes != 0) order.push_back(&placed);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->place < b->place; });
  DiskFile file = DiskFile::modify(path);
  const std::int64_t bytes = file.size();
  file.reserve(bytes);
  Progress written;
  auto fingerprints = std::async(std::launch::async, [&] { return fingerprints_of(boxes, snapshot); });
  auto found = std::async(std::launch::async, [&] { return hash_behind(file, bytes, written); });
  const GiveUpAtExit guard{written};  // an error here must not leave the reader waiting
  Writer writer(file, written);
  for (const PlacedBox* placed : order) {
    writer.skip_to(placed->place);
    writer.write({snapshot.memory(*placed->box), placed->box->bytes});
  }
  writer.skip_to(bytes);
  at_stage("part written");
  file.sync();
  const FileHash memory{bytes, writer.digest()};
  if (const std::uint64_t hash = found.get(); hash != memory.hash)
    throw Error(ExitCode::input_output, fmt::format("{} does not hold what was written to it: hash {} instead of {}",
                                                    path, hexadecimal(hash), hexadecimal(memory.hash)));
  PartBytes result{memory, fingerprints.get()};
  file.close();
  return result;
}

}  // namespace coxswain
