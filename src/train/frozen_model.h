// A model that is only looked at: reference, reward model, judge. Working weights alone: no masters, not even
// while they are loaded, and no optimizer.
#pragma once

#include <string>
#include <vector>

#include "tensor/archive.h"
#include "train/evaluator.h"

namespace coxswain {

class FrozenModel {
 public:
  // The grid and the backend must outlive it. Weights are undefined until loaded.
  FrozenModel(const ModelConfig& config, const ProcessGrid& grid, Backend& backend);

  void load(Archive& archive);          // "model/NAME", all of it
  void initialise(std::uint64_t seed);  // random weights, where there is no checkpoint
  Model& model() { return model_; }
  const ModelConfig& config() const { return config_; }
  // The head's output of every token, see Evaluator.
  std::vector<float> outputs(const GlobalBatch& batch) { return evaluator_.outputs(batch); }
  std::vector<double> terms(const GlobalBatch& batch) { return evaluator_.terms(batch); }

 private:
  ModelConfig config_;
  ModelContext context_;
  Model model_;
  Evaluator evaluator_;
};

}  // namespace coxswain
