#include "phases/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "io/agree.h"
#include "io/append_file.h"

namespace coxswain {

namespace {

constexpr std::int64_t kStepsWanted = 64;  // as of phase tokenize

// "COUNT LENGTH WORD" one after the other: words hold any bytes.
std::string text_of(const WordCounts& counts) {
  std::string text;
  for (const auto& [word, count] : counts) text += fmt::format("{} {} {}", count, word.size(), word);
  return text;
}

void add(const std::string& text, WordCounts& counts) {
  for (std::size_t place = 0; place < text.size();) {
    std::size_t used = 0;
    const std::int64_t count = std::stoll(text.substr(place, 40), &used);
    place += used + 1;
    const std::size_t length = std::stoull(text.substr(place, 40), &used);
    place += used + 1;
    counts[text.substr(place, length)] += count;
    place += length;
  }
}

void make_folder_of(const std::string& file) {
  const std::filesystem::path folder = std::filesystem::path(file).parent_path();
  if (!folder.empty()) create_folder(folder);
}

}  // namespace

Vocabulary::Vocabulary(const DataConfig& config, const ChatConfig& chat, int tokens, Communicator& world)
    : config_(config), wanted_(tokens), world_(&world), text_(parse_paths(config_.input), text_options(config_, chat)) {
  blocks_per_step_ = std::max<std::int64_t>(8, text_.blocks() / kStepsWanted);
}

StepReport Vocabulary::run_step() {
  const std::int64_t first = step_ * blocks_per_step_;
  const std::int64_t last = std::min(first + blocks_per_step_, text_.blocks());
  const std::int64_t ranks = world_->size(), rank = world_->rank();
  std::vector<double> bytes(static_cast<std::size_t>(ranks), 0.0);
  agree(*world_, "vocabulary blocks", [&] {
    for (std::int64_t block = first + (rank - first % ranks + ranks) % ranks; block < last; block += ranks) {
      const EncodedBlock encoded = text_.encode(block, words_);
      left_out_.add(encoded.left_out);
      bytes[static_cast<std::size_t>(rank)] += static_cast<double>(encoded.bytes);
    }
  });
  world_->all_merge(bytes, "vocabulary bytes");
  ++step_;
  StepReport report;
  report.metrics = {{"bytes", 0.0}};
  for (const double each : bytes) report.metrics.front().second += each;
  return report;
}

void Vocabulary::finish() {
  const std::vector<std::string> all = world_->all_gather(text_of(words_.counts()), "vocabulary words");
  const std::vector<std::string> left_out = world_->all_gather(left_out_.table(), "vocabulary left out");
  summary_ = from_rank_0(*world_, "vocabulary end", [&] {
    const std::string others = left_out_text(join(left_out, text_));
    WordCounts counts;
    for (const std::string& text : all) add(text, counts);
    const BytePairs learned = learn_byte_pairs(counts, wanted_);
    const std::int64_t tokens = std::ssize(learned.tokens) + 1;
    if (tokens < wanted_)
      throw Error(ExitCode::data, fmt::format("[data] input = {}: its {} words give {} tokens only; use [model] "
                                              "vocabulary = {} or less, or more text{}",
                                              config_.input, counts.size(), tokens, tokens, others));
    for (const std::string& path : {config_.vocabulary_file, config_.merges_file}) make_folder_of(path);
    replace_text_file(config_.vocabulary_file, learned.vocabulary_json());
    replace_text_file(config_.merges_file, learned.merges_text());
    return fmt::format("{} tokens, {} merges from {} words: {}, {}{}", tokens, learned.merges.size(), counts.size(),
                       config_.vocabulary_file, config_.merges_file, others);
  });
}

}  // namespace coxswain
