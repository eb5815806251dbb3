// A tensor's fingerprint that does not depend on how the tensor was cut.
//
//   F = sum over all elements of mix(c * (i + 1) xor d * bits(x[i]))  modulo 2^64,   i the global row-major index,
// with c, d odd and mix a bijection (shift, multiply, shift). A sum has no order, so the fingerprints of
// disjoint boxes add up to the whole tensor's, whoever computes them.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/view.h"

namespace coxswain {

// The share of the box [offset, offset + count) of a tensor of shape `global`; memory is dense, on the host.
std::uint64_t fingerprint(DType dtype, const void* memory, const Shape& global, const Shape& offset,
                          const Shape& count);

// XXH3, 64 bits, of some bytes.
std::uint64_t hash_bytes(const void* memory, std::size_t bytes);

std::string hexadecimal(std::uint64_t value);  // 16 digits

}  // namespace coxswain
