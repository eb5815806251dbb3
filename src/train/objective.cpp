#include "train/objective.h"

namespace coxswain {

void LanguageModelLoss::evaluate(Backend& backend, TensorView outputs, const Batch& batch, TensorView terms,
                                 TensorView gradient) const {
  backend.weighted_sum(outputs, batch.weights, terms);
  backend.copy(batch.weights, gradient);
}

const Objective& language_model_loss() {
  static const LanguageModelLoss loss;
  return loss;
}

}  // namespace coxswain
