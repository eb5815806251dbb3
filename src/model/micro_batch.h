// The tokens of one micro-batch, on the host. Made by data/, read by the model's first and last stage.
#pragma once

#include <cstdint>
#include <vector>

namespace coxswain {

struct MicroBatch {
  int sequences = 0;  // b
  int length = 0;     // t
  // all [b * t], row-major
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> targets;    // next tokens
  std::vector<float> weights;           // loss weight of each target: 1, or 0 where masked
  std::vector<std::int32_t> positions;  // 0 ... t - 1; restart at a document border if documents are masked
  std::vector<std::int32_t>
      document_start;  // empty without a document mask; else index in [0, t) of the own document's first token

  // What an objective reads beside the weights (train/objective.h says which).
  std::vector<std::vector<float>> columns;  // any number of columns, each [b * t]
  std::vector<std::int32_t> score_rows;     // [b]: which of the b * t tokens gives the sequence's score
  std::vector<std::int32_t> ranks;          // [b]: place of a response among those of its prompt, 1 is best; 0: padding
};

}  // namespace coxswain
