// One number a token in place of the output projection: the score of a reward model, the value of a value model
// (Stiennon et al. 2020; Ouyang et al. 2022, section 3.5). output = y . w + b, in FP32.
//
// The head is replicated over tensor ranks; each works on its own rows, and the numbers are gathered. Its gradient is
// summed like a norm's: shard of rows by shard of rows, over the shards in the fixed tree. Collective over
// grid.tensor().
#pragma once

#include "model/head.h"

namespace coxswain {

inline constexpr const char* kScorePrefix = "score/";        // of both names below
inline constexpr const char* kScoreWeight = "score/weight";  // [h]
inline constexpr const char* kScoreBias = "score/bias";      // [1]

class ScalarHead final : public Head {
 public:
  explicit ScalarHead(const ModelContext& context);
  void forward(Tensor x, const Batch& batch, Saved& saved) override;
  Tensor backward(TensorView output_gradient, const Batch& batch, Saved& saved) override;
  void visit(const ParameterVisitor& visitor) override;

 private:
  Parameter weight_, bias_;
};

}  // namespace coxswain
