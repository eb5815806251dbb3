// Memory of the CPU backend: the system's, transfers by memcpy, and copies between views of any strides and types.
#include "kernels/cpu/cpu_backend.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "kernels/cpu/compressed_weights.h"
#include "kernels/cpu/math.h"
#include "kernels/cpu/stream.h"

namespace coxswain {
namespace {

constexpr std::size_t kLine = 64, kHugePage = std::size_t{1} << 21;

// The rows of a view: all dimensions but the last, counted through in row-major order.
class RowWalk {
 public:
  explicit RowWalk(const TensorView& view) : view_(view) {
    const int rank = view.rank();
    length_ = rank == 0 ? 1 : view.shape[rank - 1];
    stride_ = rank == 0 ? 1 : view.strides[rank - 1];
    count_ = length_ == 0 ? 0 : view.elements() / length_;
  }
  std::int64_t count() const { return count_; }
  std::int64_t length() const { return length_; }
  std::int64_t stride() const { return stride_; }
  std::int64_t offset(std::int64_t row) const {
    std::int64_t offset = 0;
    for (int dim = view_.rank() - 2; dim >= 0; --dim) {
      offset += row % view_.shape[dim] * view_.strides[dim];
      row /= view_.shape[dim];
    }
    return offset;
  }

 private:
  const TensorView& view_;
  std::int64_t length_, stride_, count_;
};

// Dense views are cut into rows of a handy length, whatever their shape; the last one may be shorter.
constexpr std::int64_t kPiece = 16384;

template <class From, class To>
void copy_elements(const From* from, std::int64_t from_stride, To* to, std::int64_t to_stride, std::int64_t count) {
  if (from_stride == 1 && to_stride == 1) {
    if constexpr (std::is_same_v<From, To>) {
      std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(To));
    } else {
      convert_row(from, to, count);
    }
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    if constexpr (std::is_same_v<From, To>) {
      to[i * to_stride] = from[i * from_stride];
    } else {
      to[i * to_stride] = store<To>(static_cast<Real<To>>(load(from[i * from_stride])));
    }
  }
}

template <class From, class To>
void copy_typed(const TensorView& src, const TensorView& dst) {
  const From* from = src.as<From>();
  To* to = dst.as<To>();
  if (src.is_dense() && dst.is_dense()) {
    if constexpr (std::is_same_v<From, To>) return copy_bytes(to, from, src.bytes());
    const std::int64_t count = src.elements();
#pragma omp parallel for schedule(static) if (count > kPiece)
    for (std::int64_t i = 0; i < count; i += kPiece) copy_elements(from + i, 1, to + i, 1, std::min(kPiece, count - i));
    return;
  }
  const RowWalk sources(src), targets(dst);
#pragma omp parallel for schedule(static) if (sources.count() * sources.length() > kPiece)
  for (std::int64_t row = 0; row < sources.count(); ++row)
    copy_elements(from + sources.offset(row), sources.stride(), to + targets.offset(row), targets.stride(),
                  sources.length());
}

template <class From>
void copy_from(const TensorView& src, const TensorView& dst) {
  switch (dst.dtype) {
    case DType::f32:
      return copy_typed<From, float>(src, dst);
    case DType::bf16:
      return copy_typed<From, bf16>(src, dst);
    case DType::f64:
      return copy_typed<From, double>(src, dst);
    case DType::i32:
      throw std::invalid_argument("copy: no conversion to i32");
  }
}

template <class T>
void fill_typed(const TensorView& dst, T value) {
  T* to = dst.as<T>();
  if (dst.is_dense()) {
    const std::int64_t count = dst.elements();
    const bool streams = dst.bytes() >= kStreamBytes;
#pragma omp parallel for schedule(static) if (count > kPiece)
    for (std::int64_t i = 0; i < count; i += kPiece) {
      const std::int64_t piece = std::min(kPiece, count - i);
      streams ? stream_fill_piece(to + i, value, piece) : (void)std::fill_n(to + i, piece, value);
    }
    return;
  }
  const RowWalk rows(dst);
  for (std::int64_t row = 0; row < rows.count(); ++row) {
    T* start = to + rows.offset(row);
    for (std::int64_t i = 0; i < rows.length(); ++i) start[i * rows.stride()] = value;
  }
}

}  // namespace

CpuBackend::CpuBackend() = default;

CpuBackend::~CpuBackend() { release_pool(); }

void* CpuBackend::do_allocate(std::size_t bytes) {
  // Large blocks lie on huge pages where the system gives them: fewer misses in the address translation. Their ends do
  // not, since a page is there whole as soon as a part of it is.
  const bool large = bytes >= 2 * kHugePage;
  void* memory = nullptr;
  if (posix_memalign(&memory, large ? kHugePage : kLine, (bytes + kLine - 1) / kLine * kLine) != 0)
    throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (large) madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  return memory;
}

void CpuBackend::do_release(void* memory, std::size_t) noexcept { std::free(memory); }

void CpuBackend::do_upload(const void* host, TensorView dst) { copy_bytes(dst.data, host, dst.bytes()); }

void CpuBackend::do_download(TensorView src, void* host) { copy_bytes(host, src.data, src.bytes()); }

// By this thread alone: a team of its own would compete with the one that computes.
void CpuBackend::do_download_aside(TensorView src, void* host) { stream_copy_piece(host, src.data, src.bytes()); }

void CpuBackend::do_copy(TensorView src, TensorView dst) {
  switch (src.dtype) {
    case DType::f32:
      return copy_from<float>(src, dst);
    case DType::bf16:
      return copy_from<bf16>(src, dst);
    case DType::f64:
      return copy_from<double>(src, dst);
    case DType::i32:
      return copy_typed<std::int32_t, std::int32_t>(src, dst);
  }
}

void CpuBackend::do_fill(TensorView dst, double value) {
  switch (dst.dtype) {
    case DType::f32:
      return fill_typed(dst, static_cast<float>(value));
    case DType::bf16:
      return fill_typed(dst, bf16(static_cast<float>(value)));
    case DType::f64:
      return fill_typed(dst, value);
    case DType::i32:
      return fill_typed(dst, static_cast<std::int32_t>(value));
  }
}

std::unique_ptr<Backend> make_cpu_backend() { return std::make_unique<CpuBackend>(); }

}  // namespace coxswain
