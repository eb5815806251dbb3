// Rotary positions (Su et al., "RoFormer", eq. 34), pairs (i, i + d/2): the pair turns by position * base^(-2 i / d).
// Direction -1 turns back, which is the gradient. A block has 256 pairs of a head, of one token after another. Each of
// its threads computes a pair's cosine and sine, in double; then it has a strip of neighbouring pairs, 16 bytes of both
// halves where they lie at multiples of that, and turns it in every head, or in every eighth. Floor: the heads through
// memory once each way.
#include "kernels/cuda/strips.cuh"

namespace coxswain {
namespace {

template <class T>
struct RotaryHeads {
  T* data;
  std::int64_t tokens, t, count, half, b_stride, t_stride, head_stride;
  const std::int32_t* positions;
  double base, direction;

  bool wide() const {
    const auto at_packs = [](std::int64_t elements) { return elements % kPack<T> == 0; };
    return reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && at_packs(half) && at_packs(b_stride) &&
           at_packs(t_stride) && at_packs(head_stride);
  }
};

template <class T, int width>
__global__ void __launch_bounds__(kThreads) rotary_kernel(RotaryHeads<T> op) {
  using R = Real<T>;
  constexpr int kStrips = kThreads / width;
  COXSWAIN_SHARED(R, cosines, kThreads);  // [width, strips]: neighbouring threads read neighbours
  COXSWAIN_SHARED(R, sines, kThreads);
  const int thread = static_cast<int>(threadIdx.x), strip = thread % kStrips;
  const std::int64_t first = std::int64_t{blockIdx.x} * kThreads, pairs = op.tokens * op.half;
  if (first + thread < pairs) {
    const std::int64_t token = (first + thread) / op.half, i = (first + thread) % op.half;
    const double frequency = std::pow(op.base, -static_cast<double>(i) / static_cast<double>(op.half));
    const double angle = static_cast<double>(op.positions[token]) * frequency;
    const int place = thread % width * kStrips + thread / width;
    cosines[place] = static_cast<R>(std::cos(angle));
    sines[place] = static_cast<R>(op.direction * std::sin(angle));
  }
  __syncthreads();
  const std::int64_t pair = first + strip * width, token = pair / op.half;
  if (pair >= pairs) return;
  Strip<R, width> cosine, sine;
  COXSWAIN_UNROLL
  for (int j = 0; j < width; ++j) cosine[j] = cosines[j * kStrips + strip], sine[j] = sines[j * kStrips + strip];
  T* const of_token = op.data + token / op.t * op.b_stride + token % op.t * op.t_stride + pair % op.half;
  for (std::int64_t head = thread / kStrips; head < op.count; head += width) {
    T* const low = of_token + head * op.head_stride;
    const Strip<T, width> first_half(low), second_half(low + op.half);
    Strip<T, width> turned_first, turned_second;
    COXSWAIN_UNROLL
    for (int j = 0; j < width; ++j) {
      turned_first[j] = multiply_add(first_half[j], cosine[j], -(second_half[j] * sine[j]));
      turned_second[j] = multiply_add(second_half[j], cosine[j], first_half[j] * sine[j]);
    }
    turned_first.store(low);
    turned_second.store(low + op.half);
  }
}

}  // namespace

void CudaBackend::do_rotary(TensorView heads, TensorView positions, double base, int direction) {
  dispatch_type(heads.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const RotaryHeads<T> op{heads.as<T>(),
                            heads.shape[0] * heads.shape[1],
                            heads.shape[1],
                            heads.shape[2],
                            heads.shape[3] / 2,
                            heads.strides[0],
                            heads.strides[1],
                            heads.strides[2],
                            positions.as<std::int32_t>(),
                            base,
                            static_cast<double>(direction)};
    launch(stream(), {dim3(pieces(op.tokens * op.half, kThreads))},
           op.wide() ? rotary_kernel<T, kPack<T>> : rotary_kernel<T, 1>, op);
  });
}

}  // namespace coxswain
