// An exponential moving average of the weights: average += (1 - decay) (weights - average), after every update (Ouyang
// et al. 2022, appendix C.4: decay 0.992). FP32, spread over data ranks like the masters that it follows.
#pragma once

#include <vector>

#include "train/master_weights.h"

namespace coxswain {

inline constexpr const char* kAveragePrefix = "average";  // "average/NAME" beside "model/NAME" in a checkpoint

class WeightAverage {
 public:
  WeightAverage(Model& model, const MasterWeights& weights, double decay);

  void restart();  // the average is the weights as they are
  void update();
  void visit(Archive& archive);

 private:
  Model& model_;
  const MasterWeights& weights_;
  float rate_;
  std::vector<Tensor> averages_;  // f32 [own elements], in the order of the weights' slices
};

}  // namespace coxswain
