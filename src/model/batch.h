// One micro-batch on the backend: what the layers of any stage may need of it.
#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "model/micro_batch.h"
#include "tensor/tensor.h"

namespace coxswain {

// Where a micro-batch stands in the run: random numbers are keyed by it, never by a rank.
struct BatchPlace {
  std::uint64_t seed = 0;
  std::int64_t step = 0;
  std::int64_t first_sequence = 0;  // index of its first sequence in the global batch
  bool training = true;             // dropout is on
};

enum class DropoutSite { embedding = 0, attention = 1, mlp = 2 };

struct Batch {
  int sequences = 0;  // b
  int length = 0;     // t
  BatchPlace place;
  Tensor tokens, targets;    // i32 [b * t]
  Tensor weights;            // f32 [b * t]: of each target's loss, already divided by the global batch's sum
  Tensor positions;          // i32 [b, t]
  Tensor document_start;     // i32 [b, t], or empty
  Tensor columns;            // f32 [columns, b * t], or empty
  Tensor score_rows, ranks;  // i32 [b], or empty

  Batch() = default;
  Batch(Backend& backend, const MicroBatch& host, const BatchPlace& place, double weight_scale);

  std::int64_t rows() const { return std::int64_t{sequences} * length; }
  // Dropout of `site` in `layer`, for rows that start at `first_row` of this micro-batch.
  DropoutSpec dropout(double probability, DropoutSite site, int layer, std::int64_t first_row) const;
};

}  // namespace coxswain
