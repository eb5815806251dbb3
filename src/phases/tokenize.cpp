#include "phases/tokenize.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "base/error.h"
#include "io/agree.h"

namespace coxswain {

namespace {

constexpr std::int64_t kStepsWanted = 64;  // of a long run: enough for a smooth bar, few enough to keep many ranks busy

DataConfig checked(DataConfig config) {
  const auto refuse = [](const std::string& what) { throw Error(ExitCode::usage, fmt::format("[data] {}", what)); };
  config.check();
  if (config.input.empty()) refuse("input is empty; phase tokenize needs text or JSONL files, separated by commas");
  if (config.output.empty()) refuse("output is empty; phase tokenize needs the token file to write");
  if (config.validation_share > 0 && config.validation.empty())
    refuse("validation is empty; validation_share > 0 needs the token file to write");
  return config;
}

void make_folder_of(const std::string& file) {
  const std::filesystem::path folder = std::filesystem::path(file).parent_path();
  std::error_code error;
  if (!folder.empty()) std::filesystem::create_directories(folder, error);
  if (error) {
    throw Error(ExitCode::input_output, fmt::format("cannot make the folder {}: {}", folder.string(), error.message()));
  }
}

std::string line_of(const std::string& path, const TokenFileHeader& header) {
  return fmt::format("{}: {} documents, {} tokens ({}, vocabulary {})", path, header.documents, header.tokens,
                     header.tokenizer, header.vocabulary);
}

}  // namespace

Tokenize::Tokenize(const DataConfig& config, const ChatConfig& chat, Communicator& world)
    : config_(checked(config)),
      world_(&world),
      tokenizer_(make_tokenizer(config_)),
      text_(parse_paths(config_.input), text_options(config_, chat)) {
  blocks_per_step_ = std::max<std::int64_t>(8, text_.blocks() / kStepsWanted);
  if (world.planned()) return;
  agree(world, "tokenize start", [&] {
    make_folder_of(config_.output);
    if (config_.validation_share > 0) make_folder_of(config_.validation);
    pieces_.emplace(config_.output, world_->rank(), tokenizer_->vocabulary_size());
  });
}

StepReport Tokenize::run_step() {
  const std::int64_t first = step_ * blocks_per_step_;
  const std::int64_t last = std::min(first + blocks_per_step_, text_.blocks());
  const std::int64_t ranks = world_->size(), rank = world_->rank();
  std::vector<double> counts(static_cast<std::size_t>(3 * ranks), 0.0);
  double* const own = counts.data() + 3 * rank;
  agree(*world_, "tokenize blocks", [&] {
    for (std::int64_t block = first + (rank - first % ranks + ranks) % ranks; block < last; block += ranks) {
      const EncodedBlock encoded = text_.encode(block, *tokenizer_);
      pieces_->append(block, encoded);
      own[0] += static_cast<double>(encoded.bytes);
      own[1] += static_cast<double>(encoded.tokens.size());
      left_out_.add(encoded.left_out);
      own[2] += static_cast<double>(encoded.document_ends.size());
    }
  });
  world_->all_merge(counts, "tokenize counts");
  StepReport report;
  for (std::size_t r = 0; r < counts.size(); r += 3) {
    bytes_ += counts[r];
    tokens_ += counts[r + 1];
    documents_ += counts[r + 2];
    report.tokens += static_cast<std::int64_t>(counts[r + 1]);
  }
  ++step_;
  const double ratio = tokens_ > 0 ? bytes_ / tokens_ : 0.0;
  report.metrics = {{"documents", documents_}, {"tokens", tokens_}, {"bytes", bytes_}};
  report.note = fmt::format("{:.0f} documents, {:.3g} of {:.3g} MB, {:.3f} bytes a token", documents_, bytes_ / 1e6,
                            static_cast<double>(text_.bytes()) / 1e6, ratio);
  return report;
}

void Tokenize::finish() {
  const std::vector<std::string> left_out = world_->all_gather(left_out_.table(), "tokenize left out");
  const std::vector<std::string> tables = world_->all_gather(pieces_->table(), "tokenize table");
  const JoinOptions options{.output = config_.output,
                            .validation = config_.validation,
                            .validation_share = config_.validation_share,
                            .header = {.tokenizer = tokenizer_->name(),
                                       .tokenizer_hash = tokenizer_->hash(),
                                       .vocabulary = tokenizer_->vocabulary_size(),
                                       .end_of_document = tokenizer_->end_of_document()}};
  summary_ = from_rank_0(*world_, "tokenize join", [&] {
    const std::string others = left_out_text(join(left_out, text_));
    if (tokens_ == 0)
      throw Error(ExitCode::data, fmt::format("[data] input {} has no text in it{}", config_.input, others));
    const JoinedFiles files = join_pieces(options, tables);
    std::string lines = line_of(config_.output, files.output);
    if (files.validation.tokens > 0) {
      lines += fmt::format("\n{}", line_of(config_.validation, files.validation));
    }
    return lines + fmt::format("\n{} files, {} bytes, {:.3f} bytes a token{}", text_.files(), text_.bytes(),
                               bytes_ / tokens_, others);
  });
  pieces_.reset();
}

}  // namespace coxswain
