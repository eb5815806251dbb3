// A part of a parameter that this rank owns, as a box of the global tensor: drawn from its distribution, or as a
// checkpoint knows it. Masters are f32 [part's elements].
#pragma once

#include <cstdint>
#include <string>

#include "model/parameter_buffer.h"
#include "tensor/archive.h"

namespace coxswain {

// By global index: the same values however the parameter is cut.
void draw_part(Backend& backend, const OwnedPart& part, TensorView masters, std::uint64_t seed);

// "PREFIX/NAME"; without a name where all rows of the part are padding (of a vocabulary).
Piece piece_of(const OwnedPart& part, const std::string& prefix, TensorView masters);

}  // namespace coxswain
