// The end of a decoder: final norm, then one number a token. A language head gives -log p(target), a scalar head a
// score or a value. What is minimised is an Objective's business (train/objective.h): it turns these numbers into their
// gradients.
#pragma once

#include <memory>
#include <optional>

#include "model/batch.h"
#include "model/norm.h"

namespace coxswain {

class Head {
 public:
  struct Saved {
    Norm::Saved norm;
    Tensor y;            // [m / P_t, h] what the projection saw
    Tensor logits;       // [S / P_t, m, v / S]; language heads only
    Tensor log_sum_exp;  // f32 [m]; language heads only
    Tensor output;       // f32 [m], on every tensor rank
  };

  explicit Head(const ModelContext& context);
  virtual ~Head() = default;
  virtual void forward(Tensor x, const Batch& batch, Saved& saved) = 0;  // x [m / P_t, h]
  // output_gradient f32 [m]: dLoss / doutput. Returns dx [m / P_t, h].
  virtual Tensor backward(TensorView output_gradient, const Batch& batch, Saved& saved) = 0;
  virtual void visit(const ParameterVisitor& visitor) = 0;

 protected:
  Tensor normalise(Tensor x, Saved& saved);
  Tensor normalise_backward(Tensor dy, Saved& saved);

  const ModelContext& context_;
  std::optional<Norm> norm_;  // post-norm layers end in a norm of their own
};

std::unique_ptr<Head> make_head(const ModelContext& context);  // of the kind that the config names

}  // namespace coxswain
