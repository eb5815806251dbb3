#include "kernels/cuda/pinned_upload.h"

#include <cstring>

#include "kernels/cuda/runtime.h"

namespace coxswain {

PinnedUpload::~PinnedUpload() {
  if (memory_ != nullptr) cudaFreeHost(memory_);
  for (cudaEvent_t event : read_)
    if (event != nullptr) cudaEventDestroy(event);
}

void PinnedUpload::prepare() {
  if (memory_ != nullptr) return;
  for (cudaEvent_t& event : read_)
    check_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  void* memory = nullptr;
  check_cuda(cudaMallocHost(&memory, kPieces * kMost), "cudaMallocHost");
  memory_ = static_cast<std::byte*>(memory);
}

void PinnedUpload::copy(const void* host, void* dst, std::size_t bytes, cudaStream_t stream) {
  prepare();
  cudaEvent_t read = read_[next_];
  check_cuda(cudaEventSynchronize(read), "cudaEventSynchronize");
  std::byte* const piece = memory_ + next_ * kMost;
  next_ = (next_ + 1) % kPieces;
  std::memcpy(piece, host, bytes);
  check_cuda(cudaMemcpyAsync(dst, piece, bytes, cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync");
  check_cuda(cudaEventRecord(read, stream), "cudaEventRecord");
}

}  // namespace coxswain
