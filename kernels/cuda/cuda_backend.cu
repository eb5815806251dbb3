// Memory of the CUDA backend: the GPU's, transfers, and copies between views of any strides and types.
#include "kernels/cuda/cuda_backend.h"

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/pinned_download.h"
#include "kernels/cuda/pinned_upload.h"
#include "kernels/device.h"

namespace coxswain {
namespace {

// Where element i of a view in row-major order lies.
struct Places {
  std::int64_t shape[Shape::kMaxRank], strides[Shape::kMaxRank];
  int rank;

  explicit Places(const TensorView& view) : shape(), strides(), rank(view.rank()) {
    for (int dim = 0; dim < rank; ++dim) shape[dim] = view.shape[dim], strides[dim] = view.strides[dim];
    if (view.is_dense() && rank > 0) {
      rank = 1;
      shape[0] = view.elements(), strides[0] = 1;
    }
  }
  __device__ std::int64_t operator[](std::int64_t i) const {
    std::int64_t place = 0;
    for (int dim = rank - 1; dim > 0; --dim) {
      place += i % shape[dim] * strides[dim];
      i /= shape[dim];
    }
    return rank == 0 ? 0 : place + i * strides[0];
  }
};

template <class From, class To>
struct CopyElement {
  const From* from;
  To* to;
  Places from_places, to_places;

  __device__ void operator()(std::int64_t, std::int64_t i) const {
    const From& value = from[from_places[i]];
    if constexpr (std::is_same_v<From, To>) {
      to[to_places[i]] = value;
    } else {
      put(to[to_places[i]], static_cast<Real<To>>(load(value)));
    }
  }
};

template <class T>
struct FillElement {
  T* to;
  Places places;
  T value;

  __device__ void operator()(std::int64_t, std::int64_t i) const { to[places[i]] = value; }
};

template <class From, class To>
void copy_typed(cudaStream_t stream, const TensorView& src, const TensorView& dst) {
  elementwise(stream, 1, src.elements(), CopyElement<From, To>{src.as<From>(), dst.as<To>(), Places(src), Places(dst)});
}

template <class T>
void fill_typed(cudaStream_t stream, const TensorView& dst, T value) {
  elementwise(stream, 1, dst.elements(), FillElement<T>{dst.as<T>(), Places(dst), value});
}

}  // namespace

class CudaBackend::Stream {
 public:
  Stream() { check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate"); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() {
    cudaStreamDestroy(stream_);
    if (passed_ != nullptr) cudaEventDestroy(passed_);
  }
  cudaStream_t get() const { return stream_; }
  // What is put into this stream from now on begins when all that is in the other one is done.
  void follow(const Stream& other) {
    if (passed_ == nullptr) check_cuda(cudaEventCreateWithFlags(&passed_, cudaEventDisableTiming), "cudaEventCreate");
    check_cuda(cudaEventRecord(passed_, other.stream_), "cudaEventRecord");
    check_cuda(cudaStreamWaitEvent(stream_, passed_, 0), "cudaStreamWaitEvent");
  }

 private:
  cudaStream_t stream_ = nullptr;
  cudaEvent_t passed_ = nullptr;
};

CudaBackend::CudaBackend(int device, bool graphs) : device_(device), graphs_(graphs) {
  check_cuda(cudaSetDevice(device), "cudaSetDevice");
  stream_ = std::make_unique<Stream>();
  gemm_ = std::make_unique<Gemm>(stream_->get());
  aside_ = std::make_unique<PinnedDownload>(device);
  small_uploads_ = std::make_unique<PinnedUpload>();
}

CudaBackend::~CudaBackend() {
  if (side_) cudaStreamSynchronize(side_->get());
  cudaStreamSynchronize(stream_->get());
  gemm_.reset();
  release_pool();  // waits for downloads
}

cudaStream_t CudaBackend::stream() const { return on_side_ ? side_->get() : stream_->get(); }

void CudaBackend::begin_aside() {
  if (!side_) side_ = std::make_unique<Stream>();
  side_->follow(*stream_);
  on_side_ = true;
}

void CudaBackend::end_aside() noexcept { on_side_ = false; }

void CudaBackend::do_join_aside() {
  if (side_) stream_->follow(*side_);
}

void CudaBackend::synchronize() { check_cuda(cudaStreamSynchronize(stream()), "cudaStreamSynchronize"); }

void* CudaBackend::do_allocate(std::size_t bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    std::size_t free = 0, total = 0;
    check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    throw DeviceMemoryFull(bytes, free, total);
  }
  check_cuda(error, "cudaMalloc");
  return memory;
}

void CudaBackend::do_release(void* memory, std::size_t) noexcept { cudaFree(memory); }

void CudaBackend::do_upload(const void* host, TensorView dst) {
  if (dst.bytes() == 0) return;
  if (dst.bytes() <= PinnedUpload::kMost) return small_uploads_->copy(host, dst.data, dst.bytes(), stream());
  check_cuda(cudaMemcpyAsync(dst.data, host, dst.bytes(), cudaMemcpyHostToDevice, stream()), "cudaMemcpyAsync");
}

void CudaBackend::do_download(TensorView src, void* host) {
  if (src.bytes() > 0)
    check_cuda(cudaMemcpyAsync(host, src.data, src.bytes(), cudaMemcpyDeviceToHost, stream()), "cudaMemcpyAsync");
  synchronize();
}

void CudaBackend::begin_download_aside() { aside_->follow(stream()); }

void CudaBackend::do_download_aside(TensorView src, void* host) { aside_->copy(src.data, host, src.bytes()); }

void CudaBackend::do_copy(TensorView src, TensorView dst) {
  if (src.elements() == 0) return;
  if (src.dtype == dst.dtype && src.is_dense() && dst.is_dense())
    return check_cuda(cudaMemcpyAsync(dst.data, src.data, src.bytes(), cudaMemcpyDeviceToDevice, stream()),
                      "cudaMemcpyAsync");
  if (src.dtype == DType::i32) return copy_typed<std::int32_t, std::int32_t>(stream(), src, dst);
  dispatch_type(src.dtype, [&](auto from) {
    dispatch_type(dst.dtype, [&](auto to) {
      copy_typed<typename decltype(from)::type, typename decltype(to)::type>(stream(), src, dst);
    });
  });
}

void CudaBackend::do_fill(TensorView dst, double value) {
  if (dst.elements() == 0) return;
  if (value == 0 && dst.is_dense())
    return check_cuda(cudaMemsetAsync(dst.data, 0, dst.bytes(), stream()), "cudaMemsetAsync");
  if (dst.dtype == DType::i32) return fill_typed(stream(), dst, static_cast<std::int32_t>(value));
  dispatch_type(dst.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    fill_typed(stream(), dst, static_cast<T>(static_cast<Real<T>>(value)));
  });
}

bool cuda_is_built_in() { return true; }

std::string missing_cuda_device(int device) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (error != cudaSuccess) return std::string("no GPU can be used here: ") + cudaGetErrorString(error);
  if (device < count) return "";
  return "its node has " + std::to_string(count) + " GPUs and it would be number " + std::to_string(device + 1) +
         " to want one; start as many ranks a node as it has GPUs";
}

std::unique_ptr<Backend> make_cuda_backend(int device, bool graphs) {
  return std::make_unique<CudaBackend>(device, graphs);
}

}  // namespace coxswain
