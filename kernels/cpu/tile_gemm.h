// One thread's matrix product through oneDNN: C = A B, or C += A B, on tiles of a fixed shape.
//
// A product is created once for each shape and kept (creation costs far more than a small product). It is created for
// one thread, runs on the calling thread only, and uses that thread's own scratchpad: bits then do not depend on the
// number of threads, and two threads never share a scratchpad (both were measured to go wrong in oneDNN 2.6.3).
#pragma once

#include <cstdint>

#include "kernels/view.h"

namespace coxswain {

struct TileGemmShape {
  std::int64_t m = 0, n = 0, k = 0;
  // Element (i, j) lies at i * row + j * column; one of row and column is 1.
  std::int64_t a_row = 0, a_column = 1;
  std::int64_t b_row = 0, b_column = 1;
  std::int64_t c_row = 0;  // C is dense in columns
  DType a = DType::f32, b = DType::f32,
        c = DType::f32;     // f32, bf16 (C may be f32 or bf16); f64: plain loops, for tests
  bool accumulate = false;  // C += A B; only for C of f32 or f64
  // Above zero: B is handed over as `pack` has written it, in the layout that a product of so many rows likes best
  // (all products that share a packed B name the same number). b_row and b_column then say what `pack` reads.
  std::int64_t packed_for = 0;
  friend bool operator==(const TileGemmShape&, const TileGemmShape&) = default;
};

class TileGemm {
 public:
  // The product of this shape, created at the first request. Safe from several threads. The reference stays valid.
  static const TileGemm& get(const TileGemmShape& shape);
  virtual ~TileGemm() = default;
  virtual void run(const void* a, const void* b, void* c) const = 0;  // safe from several threads
  virtual std::size_t packed_bytes() const { return 0; }  // of B; 0: this product takes it as it lies, do not pack
  virtual void pack(const void*, void*) const {}          // b -> packed, on one thread
};

}  // namespace coxswain
