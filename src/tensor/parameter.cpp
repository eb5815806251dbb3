#include "tensor/parameter.h"

namespace coxswain {

Shape Parameter::piece_shape() const {
  Shape piece = global_shape;
  if (is_sharded()) piece[shard_dim] = shard_extent;
  return piece;
}

}  // namespace coxswain
