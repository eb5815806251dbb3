// A rollout in flight as part of a run's state: tensors "rollout/..." of fixed shapes, written by the first rank, read
// by all. So a checkpoint is possible after any minibatch.
#pragma once

#include "parallel/communicator.h"
#include "rl/rollout.h"
#include "tensor/archive.h"
#include "tensor/tensor.h"

namespace coxswain {

class RolloutState {
 public:
  // episodes of at most `length` tokens each, prompt included.
  RolloutState(Backend& backend, Communicator& world, int episodes, int length);

  // What training reads of the rollout: tokens, log_probs, values, advantages, returns, score, ended.
  void visit(Archive& archive, Rollout& rollout);

 private:
  void pack(const Rollout& rollout);
  void unpack(Rollout& rollout) const;

  Backend& backend_;
  bool writes_;
  int episodes_, length_;
  Tensor tokens_;   // i32 [episodes, length]
  Tensor lengths_;  // i32 [episodes, 3]: prompt, prompt and response, ended
  Tensor
      numbers_;    // f32 [episodes, 4, length]: log_probs, values, advantages, returns, from the response's first token
  Tensor scores_;  // f32 [episodes]
};

}  // namespace coxswain
