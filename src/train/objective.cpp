#include "train/objective.h"

namespace coxswain {

void LanguageModelLoss::evaluate(Backend& backend, TensorView outputs, const Batch& batch, TensorView terms,
                                 TensorView gradient) const {
  backend.weighted_sum(outputs, batch.weights, terms);
  backend.copy(batch.weights, gradient);
}

void LanguageModelLossByKind::evaluate(Backend& backend, TensorView outputs, const Batch& batch, TensorView terms,
                                       TensorView gradient) const {
  LanguageModelLoss().evaluate(backend, outputs, batch, terms.slice(0, 0, 1), gradient);
  for (int kind = 0; kind < kinds_; ++kind)
    backend.weighted_sum(outputs, batch.columns[kind], terms.slice(0, 1 + kind, 1));
}

const Objective& language_model_loss() {
  static const LanguageModelLoss loss;
  return loss;
}

}  // namespace coxswain
