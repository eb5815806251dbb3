#include "data/fine_tuning_source.h"

#include <algorithm>

namespace coxswain {

namespace {

enum Source { kDemonstrations = 0, kText = 1 };  // of the mixture

std::vector<double> shares_of(double text_share) {
  return text_share > 0 ? std::vector<double>{1 - text_share, text_share} : std::vector<double>{1};
}

// Row 0 of one batch as row `row` of another that has documents.
void copy_row(const MicroBatch& from, MicroBatch& to, int row) {
  const auto at = static_cast<std::ptrdiff_t>(row) * to.length;
  std::copy_n(from.tokens.begin(), to.length, to.tokens.begin() + at);
  std::copy_n(from.targets.begin(), to.length, to.targets.begin() + at);
  std::copy_n(from.weights.begin(), to.length, to.weights.begin() + at);
  std::copy_n(from.positions.begin(), to.length, to.positions.begin() + at);
  if (!from.document_start.empty()) std::copy_n(from.document_start.begin(), to.length, to.document_start.begin() + at);
}

// Moves the weights that stand in a row into a column, and leaves them there times `weight`.
void mark_row(MicroBatch& batch, int row, Source source, double weight) {
  std::vector<float>& column = batch.columns[source];
  const std::size_t first = static_cast<std::size_t>(row) * static_cast<std::size_t>(batch.length);
  for (std::size_t i = first; i < first + static_cast<std::size_t>(batch.length); ++i) {
    column[i] = batch.weights[i];
    batch.weights[i] = static_cast<float>(batch.weights[i] * weight);
  }
}

}  // namespace

FineTuningSource::FineTuningSource(PackedDemonstrations demonstrations, std::optional<BatchSource> text,
                                   const Options& options)
    : demonstrations_(std::move(demonstrations)),
      text_(std::move(text)),
      shares_(shares_of(options.text_share)),
      mixture_(shares_) {
  if (options.epochs == 0) return;
  const std::int64_t wanted = demonstrations_.sequences(options.epochs);
  Mixture ahead(shares_);
  while (ahead.drawn(kDemonstrations) < wanted) ahead.advance(1);
  end_ = ahead.consumed();
}

double FineTuningSource::Kind::scale(std::int64_t all_sequences) const {
  if (tokens == 0) return 0;
  return static_cast<double>(sequences) / static_cast<double>(all_sequences) / static_cast<double>(tokens);
}

FineTuningSource::Contents FineTuningSource::contents(int size) {
  Contents contents;
  for (std::int64_t sample = consumed(); sample < consumed() + size && !is_padding(sample); ++sample) {
    const Mixture::Draw draw = mixture_.at(sample);
    Kind& kind = draw.source == kText ? contents.text : contents.demonstrations;
    ++kind.sequences;
    kind.tokens += draw.source == kText ? text_->length() : demonstrations_.learned_tokens(draw.index);
  }
  return contents;
}

MicroBatch FineTuningSource::micro_batch(std::int64_t first, int count, double text_weight) {
  MicroBatch batch = blank_documents(count, demonstrations_.length());
  batch.columns.assign(2, std::vector<float>(batch.tokens.size(), 0.0f));
  for (int row = 0; row < count; ++row) {
    const std::int64_t sample = consumed() + first + row;
    if (is_padding(sample)) continue;
    const Mixture::Draw draw = mixture_.at(sample);
    if (draw.source == kText) {
      copy_row(text_->micro_batch(draw.index, 1), batch, row);
      mark_row(batch, row, kText, text_weight);
    } else {
      demonstrations_.write(draw.index, batch, row);
      mark_row(batch, row, kDemonstrations, 1);
    }
  }
  return batch;
}

void FineTuningSource::advance(int size) {
  const std::int64_t before = text_ ? mixture_.drawn(kText) : 0;
  mixture_.advance(size);
  if (text_) text_->advance(mixture_.drawn(kText) - before);
}

std::vector<std::string> FineTuningSource::describe_text() const {
  return text_ ? text_->describe() : std::vector<std::string>();
}

void FineTuningSource::visit(Archive& archive) {
  demonstrations_.visit(archive, "sft/demonstrations", "[sft] demonstrations");
  mixture_.visit(archive, "sft/mixture");
  if (text_) text_->visit(archive);
}

}  // namespace coxswain
