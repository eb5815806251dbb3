#include "data/packed_demonstrations.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "base/random.h"
#include "data/unchanged.h"
#include "io/fingerprint.h"

namespace coxswain {

namespace {

constexpr std::uint64_t kOrderStream = 0xda03ull << 48;  // + epoch; beside those of data/batch_source.cpp
constexpr std::size_t kOpen = 32;                        // sequences that are filled at the same time: about 95 % full

// Rows of a sequence that it takes: every token but the last, which is only a target.
std::int64_t rows_of(const Demonstration& demonstration) {
  return std::max<std::int64_t>(0, static_cast<std::int64_t>(demonstration.tokens.size()) - 1);
}

std::string hash_of(const std::vector<Demonstration>& demonstrations) {
  std::vector<std::int32_t> all;
  for (const Demonstration& demonstration : demonstrations) {
    all.push_back(static_cast<std::int32_t>(demonstration.tokens.size()));
    all.insert(all.end(), demonstration.tokens.begin(), demonstration.tokens.end());
    all.insert(all.end(), demonstration.is_response.begin(), demonstration.is_response.end());
  }
  return hexadecimal(hash_bytes(all.data(), all.size() * sizeof(std::int32_t)));
}

}  // namespace

MicroBatch blank_documents(int sequences, int length) {
  MicroBatch batch;
  batch.sequences = sequences;
  batch.length = length;
  const auto size = static_cast<std::size_t>(sequences) * static_cast<std::size_t>(length);
  batch.tokens.assign(size, 0);
  batch.targets.assign(size, 0);
  batch.weights.assign(size, 0.0f);
  batch.document_start.assign(size, 0);
  batch.positions.resize(size);
  for (std::size_t i = 0; i < size; ++i)
    batch.positions[i] = static_cast<std::int32_t>(i % static_cast<std::size_t>(length));
  return batch;
}

PackedDemonstrations::PackedDemonstrations(std::vector<Demonstration> demonstrations, const Options& options)
    : demonstrations_(std::move(demonstrations)), options_(options), content_hash_(hash_of(demonstrations_)) {
  if (demonstrations_.empty()) throw std::logic_error("no demonstrations to pack");
  for (const Demonstration& demonstration : demonstrations_)
    if (rows_of(demonstration) > options_.length) throw std::logic_error("a demonstration is longer than a sequence");
}

PackedDemonstrations::Epoch PackedDemonstrations::plan(std::int64_t number) const {
  const auto count = static_cast<std::uint64_t>(demonstrations_.size());
  const Permutation order({options_.seed, kOrderStream + static_cast<std::uint64_t>(number)}, count);
  const std::size_t open = options_.packing ? kOpen : 0;
  std::vector<std::vector<std::int32_t>> sequences;  // their demonstrations
  std::vector<std::int64_t> room;                    // rows left in each
  for (std::uint64_t place = 0; place < count; ++place) {
    const auto index = options_.shuffle ? order(place) : place;
    const std::int64_t rows = rows_of(demonstrations_[index]);
    std::size_t to = sequences.size() > open ? sequences.size() - open : 0;
    while (to < sequences.size() && room[to] < rows) ++to;
    if (to == sequences.size()) {
      sequences.emplace_back();
      room.push_back(options_.length);
    }
    sequences[to].push_back(static_cast<std::int32_t>(index));
    room[to] -= rows;
  }
  Epoch epoch;
  epoch.number = number;
  for (const std::vector<std::int32_t>& sequence : sequences) {
    epoch.starts.push_back(static_cast<std::int64_t>(epoch.order.size()));
    epoch.order.insert(epoch.order.end(), sequence.begin(), sequence.end());
  }
  epoch.starts.push_back(static_cast<std::int64_t>(epoch.order.size()));
  return epoch;
}

std::int64_t PackedDemonstrations::sequences(int epochs) {
  while (static_cast<int>(begins_.size()) <= epochs)
    begins_.push_back(begins_.back() + plan(static_cast<std::int64_t>(begins_.size()) - 1).sequences());
  return begins_[static_cast<std::size_t>(epochs)];
}

PackedDemonstrations::Range PackedDemonstrations::locate(std::int64_t sequence) {
  while (begins_.back() <= sequence) sequences(static_cast<int>(begins_.size()));
  const auto after = std::upper_bound(begins_.begin(), begins_.end(), sequence);
  const std::int64_t number = after - begins_.begin() - 1;
  if (epoch_.number != number) epoch_ = plan(number);
  const auto index = static_cast<std::size_t>(sequence - *(after - 1));
  return {epoch_.starts[index], epoch_.starts[index + 1]};
}

const Demonstration& PackedDemonstrations::at(std::int64_t place) const {
  return demonstrations_[static_cast<std::size_t>(epoch_.order[static_cast<std::size_t>(place)])];
}

std::int64_t PackedDemonstrations::learned_tokens(std::int64_t sequence) {
  const Range range = locate(sequence);
  std::int64_t tokens = 0;
  for (std::int64_t place = range.first; place < range.end; ++place) {
    const std::vector<std::uint8_t>& learned = at(place).is_response;
    for (std::size_t i = 1; i < learned.size(); ++i) tokens += learned[i];
  }
  return tokens;
}

void PackedDemonstrations::write(std::int64_t sequence, MicroBatch& batch, int row) {
  const Range range = locate(sequence);
  const std::size_t first = static_cast<std::size_t>(row) * static_cast<std::size_t>(batch.length);
  std::size_t start = 0;
  for (std::int64_t place = range.first; place < range.end; ++place) {
    const Demonstration& demonstration = at(place);
    const auto rows = static_cast<std::size_t>(rows_of(demonstration));
    for (std::size_t i = 0; i < rows; ++i) {
      const std::size_t to = first + start + i;
      batch.tokens[to] = demonstration.tokens[i];
      batch.targets[to] = demonstration.tokens[i + 1];
      batch.weights[to] = demonstration.is_response[i + 1];
      batch.positions[to] = static_cast<std::int32_t>(i);
      batch.document_start[to] = static_cast<std::int32_t>(start);
    }
    start += rows;
  }
  for (std::size_t i = start; i < static_cast<std::size_t>(batch.length); ++i) {
    batch.positions[first + i] = static_cast<std::int32_t>(i - start);
    batch.document_start[first + i] = static_cast<std::int32_t>(start);
  }
}

std::string PackedDemonstrations::describe() {
  std::int64_t rows = 0, learned = 0;
  for (const Demonstration& demonstration : demonstrations_) rows += rows_of(demonstration);
  const std::int64_t count = sequences(1);
  for (std::int64_t sequence = 0; sequence < count; ++sequence) learned += learned_tokens(sequence);
  return fmt::format("{} demonstrations in {} sequences of {} tokens, {:.0f} % full; {} tokens are learned",
                     demonstrations(), count, options_.length,
                     100.0 * static_cast<double>(rows) / static_cast<double>(count * options_.length), learned);
}

void PackedDemonstrations::visit(Archive& archive, const std::string& name, const std::string& key) {
  check_unchanged(archive, name + "/content", content_hash_, fmt::format("{} of contents", key));
}

}  // namespace coxswain
