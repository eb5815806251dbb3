// Matrix products of the linear layers and their gradients, by cuBLASLt. A bias, GELU or its gradient is added by the
// library itself where it can; elsewhere the product leaves its sums in FP32 and one pass more finishes them. Either
// way a result is rounded once.
//
// Floor of a product: 2 FLOP a multiply-add at the GEMM rate (floors.cu); of the pass: 4 bytes of sums an element, and
// the result.
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/strips.cuh"

namespace coxswain {
namespace {

// y = sums + bias; activated = activation(y before it is rounded). y may lie where the sums do.
template <class T, Activation kind>
struct FinishElement {
  using R = Real<T>;
  Matrix<R> sums;
  Vector<R> bias;
  Matrix<T> y, activated;

  template <int width>
  __device__ void strip(std::int64_t r, std::int64_t c) const {
    const Strip<R, width> sum(sums[r] + c);
    Strip<T, width> values;
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) values[i] = sum[i];
    if (bias) {
      const Strip<R, width> added = strip_of<width>(bias, c);
      COXSWAIN_UNROLL
      for (int i = 0; i < width; ++i) values[i] += added[i];
    }
    values.store(y[r] + c);
    if constexpr (kind != Activation::none) {
      COXSWAIN_UNROLL
      for (int i = 0; i < width; ++i) values[i] = apply<kind>(values[i]);
      values.store(activated[r] + c);
    }
  }
};

// dx = sums * activation'(pre_activation)
template <class T, Activation kind>
struct FinishGradientElement {
  Matrix<Real<T>> sums;
  Matrix<T> pre_activation, dx;

  template <int width>
  __device__ void strip(std::int64_t r, std::int64_t c) const {
    const Strip<Real<T>, width> sum(sums[r] + c);
    Strip<T, width> before(pre_activation[r] + c);
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) before[i] = sum[i] * apply_gradient<kind>(before[i]);
    before.store(dx[r] + c);
  }
};

// A place [rows, columns] for sums that become `result`: result itself if it is of their type.
template <class R>
class Sums {
 public:
  Sums(Backend& backend, const TensorView& result)
      : scratch_(backend, result.dtype == dtype_of<R>() ? 0 : result.elements()),
        view_(result.dtype == dtype_of<R>() ? result : TensorView(scratch_.data(), dtype_of<R>(), result.shape)) {}
  const TensorView& view() const { return view_; }

 private:
  Scratch<R> scratch_;
  TensorView view_;
};

}  // namespace

void CudaBackend::do_linear(TensorView x, TensorView w, TensorView y, const LinearEpilogue& epilogue) {
  if (y.elements() == 0) return;
  const auto product = [&](const TensorView& result) {
    x.shape[1] == 0 ? do_fill(result, 0) : gemm_->run({x, false}, {w, true}, result, false);
  };
  if (epilogue.bias.empty() && epilogue.activation == Activation::none) return product(y);
  if (x.shape[1] > 0 && epilogue.activation != Activation::silu) {
    const bool gelu = epilogue.activation == Activation::gelu;
    Gemm::Finish finish;
    finish.bias = epilogue.bias;
    if (gelu) finish.kind = Gemm::Finish::Kind::gelu, finish.before = y;
    if (gemm_->run_finished({x, false}, {w, true}, gelu ? epilogue.activated : y, finish)) return;
  }
  dispatch_type(y.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using R = Real<T>;
    const Sums<R> sums(*this, y);
    product(sums.view());
    dispatch(epilogue.activation, [&](auto kind) {
      strips<T>(stream(), y.shape[0], y.shape[1], {sums.view(), epilogue.bias, y, epilogue.activated},
                FinishElement<T, decltype(kind)::value>{Matrix<R>(sums.view()), Vector<R>(epilogue.bias), Matrix<T>(y),
                                                        Matrix<T>(epilogue.activated)});
    });
  });
}

void CudaBackend::do_linear_input_gradient(TensorView dy, TensorView w, TensorView dx,
                                           const GradientEpilogue& epilogue) {
  if (dx.elements() == 0) return;
  const auto product = [&](const TensorView& result) {
    dy.shape[1] == 0 ? do_fill(result, 0) : gemm_->run({dy, false}, {w, false}, result, false);
  };
  if (epilogue.activation == Activation::none) return product(dx);
  if (dy.shape[1] > 0 && epilogue.activation == Activation::gelu) {
    const Gemm::Finish finish{Gemm::Finish::Kind::gelu_gradient, {}, epilogue.pre_activation};
    if (gemm_->run_finished({dy, false}, {w, false}, dx, finish)) return;
  }
  dispatch_type(dx.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using R = Real<T>;
    const Sums<R> sums(*this, dx);
    product(sums.view());
    dispatch(epilogue.activation, [&](auto kind) {
      strips<T>(stream(), dx.shape[0], dx.shape[1], {sums.view(), epilogue.pre_activation, dx},
                FinishGradientElement<T, decltype(kind)::value>{Matrix<R>(sums.view()),
                                                                Matrix<T>(epilogue.pre_activation), Matrix<T>(dx)});
    });
  });
}

void CudaBackend::do_linear_weight_gradient(TensorView dy, TensorView x, TensorView dw) {
  if (dw.elements() > 0 && dy.shape[0] > 0) gemm_->run({dy, true}, {x, false}, dw, true);
}

}  // namespace coxswain
