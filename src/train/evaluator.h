// A model's forward pass without a trace: no dropout, nothing kept for a backward. For validation, and for whatever
// looks at a model from outside: log-probabilities, values, scores. Collective over the world.
#pragma once

#include <vector>

#include "train/pipeline.h"

namespace coxswain {

class Evaluator {
 public:
  explicit Evaluator(Model& model) : model_(model), pipeline_(model) {}

  // The terms of the batch's objective, summed over the batch.
  std::vector<double> terms(const GlobalBatch& batch);
  // The head's output of every token, [size x length], on every rank. `load` must give one length for all; sequences at
  // or after batch.size (to fill up micro-batches and data shards) may be anything and are left out.
  std::vector<float> outputs(GlobalBatch batch);

 private:
  // Calls `see` with each micro-batch of this rank that ends here, on ranks of the last stage.
  template <class See>
  void run(const Work& work, See&& see);
  bool ends_here() const;  // this rank speaks for the results: they come down once, after all micro-batches

  Model& model_;
  Pipeline pipeline_;
};

}  // namespace coxswain
