// Memory of the CUDA backend: the GPU's and the host's, and transfers between them.
#include "kernels/cuda/cuda_backend.h"

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/event_timer.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/pinned_download.h"
#include "kernels/cuda/pinned_upload.h"
#include "kernels/device.h"

namespace coxswain {
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
  uploads_ = std::make_unique<PinnedUpload>(stream_->get());
}

CudaBackend::~CudaBackend() {
  if (side_) cudaStreamSynchronize(side_->get());
  cudaStreamSynchronize(stream_->get());
  uploads_.reset();
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

void CudaBackend::do_upload(const void* host, TensorView dst) { uploads_->copy(stream(), host, dst.data, dst.bytes()); }

void CudaBackend::do_begin_upload(const void* host, TensorView dst) {
  if (dst.bytes() > 0) uploads_->begin(host, dst.data, dst.bytes());
}

void CudaBackend::finish_uploads() { uploads_->finish(); }

void CudaBackend::await_downloads() { aside_->wait(); }

void* CudaBackend::allocate_host(std::size_t bytes) {
  void* memory = nullptr;
  if (bytes > 0) check_cuda(cudaMallocHost(&memory, bytes), "cudaMallocHost");
  return memory;
}

void CudaBackend::release_host(void* memory) noexcept {
  uploads_->wait();
  cudaStreamSynchronize(stream_->get());  // downloads to it
  if (memory != nullptr) cudaFreeHost(memory);
}

void CudaBackend::do_download(TensorView src, void* host) {
  if (src.bytes() > 0)
    check_cuda(cudaMemcpyAsync(host, src.data, src.bytes(), cudaMemcpyDeviceToHost, stream()), "cudaMemcpyAsync");
  synchronize();
}

void CudaBackend::do_begin_download(TensorView src, void* host) {
  if (src.bytes() > 0) aside_->begin(stream(), src.data, host, src.bytes());
}

void CudaBackend::begin_download_aside() { aside_->follow(stream()); }

void CudaBackend::do_download_aside(TensorView src, void* host) { aside_->copy(src.data, host, src.bytes()); }

std::unique_ptr<OperationTimer> CudaBackend::make_timer() {
  return std::make_unique<EventTimer>([this] { return stream(); });
}

bool cuda_is_built_in() { return true; }

std::string missing_cuda_device(int device) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  cudaGetLastError();
  const char* no_driver = error == cudaErrorInsufficientDriver ? ", or there is no driver" : "";
  if (error != cudaSuccess) return std::string("no GPU can be used here: ") + cudaGetErrorString(error) + no_driver;
  if (device < count) return "";
  return "its node has " + std::to_string(count) + " GPUs and it would be number " + std::to_string(device + 1) +
         " to want one; start as many ranks a node as it has GPUs, or let them share (ranks_per_gpu)";
}

std::unique_ptr<Backend> make_cuda_backend(int device, bool graphs) {
  return std::make_unique<CudaBackend>(device, graphs);
}

}  // namespace coxswain
