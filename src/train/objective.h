// What a step minimises: a function of the head's output of every token, looked at on the last stage between a
// micro-batch's forward and its backward.
#pragma once

#include "kernels/backend.h"
#include "model/batch.h"

namespace coxswain {

class Objective {
 public:
  virtual ~Objective() = default;
  virtual int terms() const = 0;  // numbers that it reports, each a sum over the global batch; the first is the loss
  // outputs f32 [m]: -log p(target) of a language head, the number of a scalar head. batch.weights are scaled to what
  // the sum over the global batch is divided by. Fills terms f64 [terms()] with this micro-batch's share, and gradient
  // f32 [m] with dLoss / doutputs.
  virtual void evaluate(Backend& backend, TensorView outputs, const Batch& batch, TensorView terms,
                        TensorView gradient) const = 0;
};

// The mean of -log p(target) over the weighted tokens.
class LanguageModelLoss final : public Objective {
 public:
  int terms() const override { return 1; }
  void evaluate(Backend& backend, TensorView outputs, const Batch& batch, TensorView terms,
                TensorView gradient) const override;
};

const Objective& language_model_loss();

// The same, and beside it the sums of -log p(target) over each of the batch's columns, which mark kinds of tokens.
class LanguageModelLossByKind final : public Objective {
 public:
  explicit LanguageModelLossByKind(int kinds) : kinds_(kinds) {}
  int terms() const override { return 1 + kinds_; }
  void evaluate(Backend& backend, TensorView outputs, const Batch& batch, TensorView terms,
                TensorView gradient) const override;

 private:
  int kinds_;
};

}  // namespace coxswain
