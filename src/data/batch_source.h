// The samples that pre-training sees, in one fixed order: sample i of the run is the same tokens whoever asks for it,
// on any grid and after any restart. The trainer asks for the samples of its micro-batches, then all ranks advance by
// the global batch. The cursor is state: no sample twice, none lost, whatever the sizes of the batches.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/config.h"
#include "data/mixture.h"
#include "data/token_dataset.h"
#include "model/micro_batch.h"
#include "tensor/archive.h"

namespace coxswain {

class BatchSource {
 public:
  struct Options {
    int length = 0;      // t
    int vocabulary = 0;  // v of the model
    std::uint64_t seed = 0;
  };
  // config.source: token files with weights, or "synthetic" (uniform random tokens, no file).
  BatchSource(const DataConfig& config, const Options& options);

  // Samples [first_sample, first_sample + count) of the run; first_sample >= consumed().
  MicroBatch micro_batch(std::int64_t first_sample, int count);
  void advance(std::int64_t count) { mixture_.advance(count); }
  std::int64_t consumed() const { return mixture_.consumed(); }
  int length() const { return options_.length; }

  // The cursor, and what it is a cursor of: a restart with other data or another length is an Error(data).
  void visit(Archive& archive);
  // For the log, a line a source: path, tokens, documents, windows, weight, epochs drawn.
  std::vector<std::string> describe() const;
  // Of the token files; empty for synthetic tokens.
  std::string tokenizer() const { return datasets_.empty() ? "" : datasets_[0].file().header().tokenizer; }
  std::string tokenizer_hash() const { return datasets_.empty() ? "" : datasets_[0].file().header().tokenizer_hash; }

 private:
  void read_sample(std::int64_t sample, std::span<std::int32_t> tokens);

  Options options_;
  bool shuffle_ = true;
  bool document_mask_ = false;
  std::vector<DataSource> sources_;
  std::vector<TokenDataset> datasets_;  // none: synthetic
  Mixture mixture_;
};

// Held-out tokens as windows in their order, always the same ones.
class ValidationSource {
 public:
  ValidationSource(const DataConfig& config, int length, int vocabulary);  // config.validation

  std::int64_t samples() const { return dataset_.windows(); }
  std::string tokenizer_hash() const { return dataset_.file().header().tokenizer_hash; }
  // Samples beyond the last are padding: weight 0.
  MicroBatch micro_batch(std::int64_t first_sample, int count) const;

 private:
  int length_ = 0;
  bool document_mask_ = false;
  TokenDataset dataset_;
};

}  // namespace coxswain
