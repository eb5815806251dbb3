#include "data/batch_source.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/random.h"
#include "data/unchanged.h"

namespace coxswain {

namespace {

// Streams of Philox numbers, apart from those of weights and dropout, which count up from zero.
constexpr std::uint64_t kShuffleStream = 0xda01ull << 48;  // + source << 32 + epoch
constexpr std::uint64_t kSyntheticStream = 0xda02ull << 48;

std::vector<DataSource> sources_of(const DataConfig& config) {
  if (config.synthetic()) return {};
  std::vector<DataSource> sources = parse_sources(config.source);
  if (sources.empty()) {
    throw Error(ExitCode::usage,
                "[data] source is empty; give token files (made by [run] phase = tokenize) or synthetic");
  }
  return sources;
}

std::vector<double> weights_of(const std::vector<DataSource>& sources) {
  std::vector<double> weights;
  for (const DataSource& source : sources) weights.push_back(source.weight);
  if (weights.empty()) weights.push_back(1.0);
  return weights;
}

MicroBatch empty_batch(int sequences, int length, bool document_mask) {
  MicroBatch batch;
  batch.sequences = sequences;
  batch.length = length;
  const std::size_t size = static_cast<std::size_t>(sequences) * static_cast<std::size_t>(length);
  batch.tokens.assign(size, 0);
  batch.targets.assign(size, 0);
  batch.weights.assign(size, 0.0f);
  batch.positions.resize(size);
  if (document_mask) batch.document_start.assign(size, 0);
  for (std::size_t i = 0; i < size; ++i) {
    batch.positions[i] = static_cast<std::int32_t>(i % static_cast<std::size_t>(length));
  }
  return batch;
}

// window [length + 1]: inputs and, one further, targets. A document starts after each end-of-document token.
void fill_row(MicroBatch& batch, int row, std::span<const std::int32_t> window, std::int32_t end_of_document) {
  const auto length = static_cast<std::size_t>(batch.length);
  const std::size_t first = static_cast<std::size_t>(row) * length;
  std::int32_t start = 0;
  for (std::size_t i = 0; i < length; ++i) {
    batch.tokens[first + i] = window[i];
    batch.targets[first + i] = window[i + 1];
    batch.weights[first + i] = 1.0f;
    if (batch.document_start.empty()) continue;
    if (i > 0 && window[i - 1] == end_of_document) start = static_cast<std::int32_t>(i);
    batch.document_start[first + i] = start;
    batch.positions[first + i] = static_cast<std::int32_t>(i) - start;
  }
}

}  // namespace

BatchSource::BatchSource(const DataConfig& config, const Options& options)
    : options_(options),
      shuffle_(config.shuffle),
      document_mask_(config.document_mask),
      sources_(sources_of(config)),
      mixture_(weights_of(sources_)) {
  for (const DataSource& source : sources_) {
    datasets_.emplace_back(source.path, options.length, options.vocabulary);
    const TokenFile &file = datasets_.back().file(), &first = datasets_.front().file();
    if (file.header().tokenizer_hash != first.header().tokenizer_hash) {
      throw Error(ExitCode::data,
                  fmt::format("{} and {} were made by different tokenizers ({} and {}): tokenize them "
                              "alike",
                              first.path(), file.path(), first.header().tokenizer, file.header().tokenizer));
    }
  }
}

void BatchSource::read_sample(std::int64_t sample, std::span<std::int32_t> tokens) {
  if (datasets_.empty()) {
    const RandomKey key{options_.seed, kSyntheticStream};
    const std::uint64_t first = static_cast<std::uint64_t>(sample) * tokens.size();
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] =
          static_cast<std::int32_t>(uniform_integer(key, first + i, static_cast<std::uint64_t>(options_.vocabulary)));
    }
    return;
  }
  const Mixture::Draw draw = mixture_.at(sample);
  const TokenDataset& dataset = datasets_[static_cast<std::size_t>(draw.source)];
  const RandomKey key{options_.seed, kShuffleStream + (static_cast<std::uint64_t>(draw.source) << 32)};
  dataset.read_window(shuffle_ ? dataset.window_of(key, draw.index) : draw.index % dataset.windows(), tokens);
}

MicroBatch BatchSource::micro_batch(std::int64_t first_sample, int count) {
  MicroBatch batch = empty_batch(count, options_.length, document_mask_);
  const std::int32_t end = datasets_.empty() ? -1 : datasets_[0].file().header().end_of_document;
  std::vector<std::int32_t> window(static_cast<std::size_t>(options_.length) + 1);
  for (int row = 0; row < count; ++row) {
    read_sample(first_sample + row, window);
    fill_row(batch, row, window, end);
  }
  return batch;
}

void BatchSource::visit(Archive& archive) {
  check_unchanged(archive, "data/length", std::to_string(options_.length), "[batch] length =");
  check_unchanged(archive, "data/sources", std::to_string(datasets_.size()), "a number of [data] sources of");
  for (std::size_t s = 0; s < datasets_.size(); ++s) {
    const TokenFile& file = datasets_[s].file();
    check_unchanged(archive, fmt::format("data/source_{}/content", s), file.content_hash(),
                    fmt::format("source {} ({}) of contents", s + 1, file.path()));
  }
  mixture_.visit(archive, "data");
}

std::vector<std::string> BatchSource::describe() const {
  std::vector<std::string> lines;
  if (datasets_.empty())
    lines.push_back(fmt::format("synthetic: uniform tokens of a vocabulary of {}", options_.vocabulary));
  const std::vector<double> weights = weights_of(sources_);
  double sum = 0;
  for (const double weight : weights) sum += weight;
  for (std::size_t s = 0; s < datasets_.size(); ++s) {
    const TokenFileHeader& header = datasets_[s].file().header();
    lines.push_back(fmt::format(
        "{}: {} tokens ({}), {} documents, {} samples, share {:.4g}, {:.3f} epochs drawn", sources_[s].path,
        header.tokens, header.tokenizer, header.documents, datasets_[s].windows(), weights[s] / sum,
        static_cast<double>(mixture_.drawn(static_cast<int>(s))) / static_cast<double>(datasets_[s].windows())));
  }
  return lines;
}

ValidationSource::ValidationSource(const DataConfig& config, int length, int vocabulary)
    : length_(length), document_mask_(config.document_mask), dataset_(config.validation, length, vocabulary) {}

MicroBatch ValidationSource::micro_batch(std::int64_t first_sample, int count) const {
  MicroBatch batch = empty_batch(count, length_, document_mask_);
  std::vector<std::int32_t> window(static_cast<std::size_t>(length_) + 1);
  for (int row = 0; row < count && first_sample + row < samples(); ++row) {
    dataset_.read_window(first_sample + row, window);
    fill_row(batch, row, window, dataset_.file().header().end_of_document);
  }
  return batch;
}

}  // namespace coxswain
