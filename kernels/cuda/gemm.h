// Matrix products by cuBLASLt.
//
// An algorithm is chosen once for each shape, type and alignment and kept, so that equal calls give equal bits: among
// those that cut k into no parts, since parts would be added in an order that nothing here fixes. Sums are FP32 for
// f32 (no TF32) and bf16, f64 for f64.
#pragma once

#include <cublasLt.h>

#include <array>
#include <map>
#include <memory>

#include "kernels/view.h"

namespace coxswain {

class Gemm {
 public:
  explicit Gemm(cudaStream_t stream);
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  // A matrix [rows, columns] with dense columns, taken as it is or transposed.
  struct Factor {
    TensorView view;
    bool transposed = false;
  };
  // c[m, n] = a b, or c += a b, for factors a of [m, k] and b of [k, n], both of one type; c of that type or of FP32.
  void run(const Factor& a, const Factor& b, const TensorView& c, bool accumulate);

  // What the library itself does with the sums before it rounds them.
  struct Finish {
    enum class Kind { none, gelu, gelu_gradient };
    Kind kind = Kind::none;
    TensorView bias;    // [n] or empty: added to the sums
    TensorView before;  // [m, n]. gelu: out, the sums with the bias; gelu_gradient: in, c = sums * gelu'(before)
  };
  // c = finish(a b), or false and nothing is done: where types or alignments are not the library's, which follows from
  // shapes, strides and alignments alone.
  bool run_finished(const Factor& a, const Factor& b, const TensorView& c, const Finish& finish);

 private:
  struct Plan;
  using Key = std::array<std::int64_t, 20>;
  const Plan& plan_for(const Factor& a, const Factor& b, const TensorView& c, const Finish& finish);
  void execute(const Plan& plan, const Factor& a, const Factor& b, const TensorView& c, bool accumulate);
  void* workspace(std::size_t bytes);

  cudaStream_t stream_;
  cublasLtHandle_t handle_ = nullptr;
  std::map<Key, std::unique_ptr<Plan>> plans_;
  void* workspace_ = nullptr;
};

}  // namespace coxswain
