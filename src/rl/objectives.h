// The objectives of alignment, on the operations of kernels/backend.h: where an operation's arguments stand in a
// micro-batch is said here.
#pragma once

#include "train/objective.h"

namespace coxswain {

// Clipped policy gradient (Schulman et al. 2017, equation 7) on a language head. Columns: rl/episode_batch.h, policy.
// Terms: loss, clipped fraction, approximate KL to the policy that sampled, entropy estimate -log pi: means over
// the weighted tokens.
class PolicyLoss final : public Objective {
 public:
  explicit PolicyLoss(double clip) : clip_(clip) {}
  enum Term { kLoss, kClipFraction, kApproximateKl, kEntropy, kTerms };
  int terms() const override { return kTerms; }
  void evaluate(Backend& backend, TensorView outputs, const Batch& batch, TensorView terms,
                TensorView gradient) const override;

 private:
  double clip_;
};

// Clipped squared error of the returns on a scalar head. Columns: rl/episode_batch.h, value.
class ValueLoss final : public Objective {
 public:
  explicit ValueLoss(double clip) : clip_(clip) {}  // 0: no clipping
  enum Term { kLoss, kClipFraction, kTerms };
  int terms() const override { return kTerms; }
  void evaluate(Backend& backend, TensorView outputs, const Batch& batch, TensorView terms,
                TensorView gradient) const override;

 private:
  double clip_;
};

// Comparison (Stiennon et al. 2020; Ouyang et al. 2022, equation 1; Ziegler et al. 2019, equation 1) of the K responses
// of each prompt, which are K neighbouring sequences of a micro-batch, by the scores of their last tokens (score_rows)
// against their ranks. The weight of a prompt is that of its first response's score row; the batch's divisor is the
// number of prompts.
class RankingObjective final : public Objective {
 public:
  RankingObjective(RankingKind kind, int responses) : kind_(kind), responses_(responses) {}
  enum Term { kLoss, kPairs, kCorrect, kTerms };  // pairs that count and those in the right order are sums, not means
  int terms() const override { return kTerms; }
  void evaluate(Backend& backend, TensorView outputs, const Batch& batch, TensorView terms,
                TensorView gradient) const override;

 private:
  RankingKind kind_;
  int responses_;  // K
};

}  // namespace coxswain
