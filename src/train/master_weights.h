// FP32 master weights, spread over data ranks: each owns a slice of every parameter buffer (ZeRO-1, Rajbhandari et al.
// 2020). In FP32 the working values are the masters; in BF16 they are the masters rounded. Collective over grid.data().
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "model/model.h"
#include "tensor/archive.h"

namespace coxswain {

class MasterWeights {
 public:
  struct Slice {
    ParameterBuffer* buffer;
    Tensor memory;      // BF16 only
    TensorView values;  // f32 [own elements]; in FP32 a view of the buffer's values
    // The working values that a new master is rounded to; empty in FP32.
    TensorView working(std::int64_t offset, std::int64_t count) const;
  };

  explicit MasterWeights(Model& model);
  const std::vector<Slice>& slices() const { return slices_; }  // one for each buffer that owns its values

  void initialise(std::uint64_t seed);  // from the parameters' distributions, by global index
  void visit(Archive& archive);         // "model/NAME"
  // Reads another run's weights, "model/NAME". Where a scalar head may be missing and is, it keeps its initial value:
  // reward models begin as language models.
  enum class ScalarHead { required, may_be_missing };
  void load(Archive& archive, ScalarHead head = ScalarHead::may_be_missing);
  // Changes a small replicated parameter on the host, the same way on every rank that holds it; elsewhere does nothing.
  void edit(const std::string& parameter, const std::function<void(std::span<float>)>& change);

 private:
  void round();  // masters -> working values of this rank's slices, and gather

  Model& model_;
  std::vector<Slice> slices_;
};

// Begins to hand this rank's new working values of a buffer to the other data ranks, and to take theirs: see
// Model::await_values.
void gather_values(const Model& model, ParameterBuffer& buffer);

// Shows the archive this rank's parts of `memory`, which is laid out like the slice: boxes of "prefix/NAME". Padding is
// left out; of copies (replicated parameters, tied embeddings) one is written and all are read.
using WantsParameter = std::function<bool(const Parameter&)>;  // those that it refuses are passed over
void visit_parts(const Model& model, const ParameterBuffer& buffer, const std::string& prefix, TensorView memory,
                 Archive& archive, const WantsParameter& wants = {});

}  // namespace coxswain
