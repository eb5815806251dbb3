// The sequences that fine-tuning sees, in one fixed order: packed demonstrations, and between them a share of
// pre-training text (Ouyang et al. 2022, appendix C.3: 10 % for the policy that PPO begins with).
//
// Each kind counts in a step's loss as its sequences do in the batch, however many tokens they have:
//   loss = n_d / n  mean over the response tokens  +  n_t / n  mean over the tokens of text
// so that the share of text is its share of the loss, though a sequence of text has many more tokens that are learned.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/batch_source.h"
#include "data/mixture.h"
#include "data/packed_demonstrations.h"

namespace coxswain {

class FineTuningSource {
 public:
  struct Options {
    double text_share = 0;  // of the sequences; 0: no text
    int epochs = 0;         // over the demonstrations, then only padding follows; 0: endless
  };
  // text: given where there is a share.
  FineTuningSource(PackedDemonstrations demonstrations, std::optional<BatchSource> text, const Options& options);

  // Of the sequences [consumed, consumed + size): how many there are of a kind, and their tokens that are learned.
  struct Kind {
    std::int64_t sequences = 0, tokens = 0;
    // What turns a sum over its tokens into its share of the loss; 0 if there are none.
    double scale(std::int64_t all_sequences) const;
  };
  struct Contents {
    Kind demonstrations, text;
    std::int64_t sequences() const { return demonstrations.sequences + text.sequences; }
  };
  Contents contents(int size);

  // Sequences [first, first + count) from consumed() on. Weights are 1 for demonstrations and text_weight for text.
  // Columns, in this order: 1 where a token of a demonstration is learned, 1 where a token of text is.
  MicroBatch micro_batch(std::int64_t first, int count, double text_weight);

  std::int64_t total() const { return end_; }  // sequences of all epochs, text included; 0: endless
  std::int64_t consumed() const { return mixture_.consumed(); }
  void advance(int size);
  void visit(Archive& archive);

  PackedDemonstrations& demonstrations() { return demonstrations_; }
  std::string text_tokenizer_hash() const { return text_ ? text_->tokenizer_hash() : ""; }  // empty: no text, no files
  std::vector<std::string> describe_text() const;                                           // for the log

 private:
  bool is_padding(std::int64_t sample) const { return end_ > 0 && sample >= end_; }

  PackedDemonstrations demonstrations_;
  std::optional<BatchSource> text_;
  std::vector<double> shares_;  // of demonstrations and, if any, text
  Mixture mixture_;
  std::int64_t end_ = 0;
};

}  // namespace coxswain
