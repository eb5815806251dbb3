#include "kernels/cuda/pinned_upload.h"

#include <algorithm>
#include <cstring>

#include "kernels/cuda/runtime.h"

namespace coxswain {
namespace {

void make(cudaEvent_t& event) {
  check_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
}

}  // namespace

PinnedUpload::~PinnedUpload() {
  if (beside_ != nullptr) cudaStreamDestroy(beside_);
  cudaStreamSynchronize(work_);
  for (const Half& half : halves_) {
    if (half.reader != nullptr) cudaStreamSynchronize(half.reader);
    if (half.memory != nullptr) cudaFreeHost(half.memory);
    if (half.read != nullptr) cudaEventDestroy(half.read);
  }
  for (cudaEvent_t event : {asked_, arrived_})
    if (event != nullptr) cudaEventDestroy(event);
}

void PinnedUpload::turn() {
  const Half& last = halves_[half_];
  if (last.memory != nullptr) check_cuda(cudaEventRecord(last.read, last.reader), "cudaEventRecord");
  half_ = 1 - half_;
  Half& next = halves_[half_];
  if (next.memory == nullptr) {
    make(next.read);
    check_cuda(cudaMallocHost(&next.memory, kPiece), "cudaMallocHost");
  } else {
    check_cuda(cudaEventSynchronize(next.read), "cudaEventSynchronize");
  }
  filled_ = 0;
}

void PinnedUpload::copy(cudaStream_t stream, const void* host, void* dst, std::size_t bytes) {
  const auto* from = static_cast<const std::byte*>(host);
  auto* to = static_cast<std::byte*>(dst);
  for (std::size_t done = 0; done < bytes;) {
    if (filled_ >= kPiece || halves_[half_].reader != stream) turn();
    halves_[half_].reader = stream;
    const std::size_t some = std::min(bytes - done, kPiece - filled_);
    std::byte* place = static_cast<std::byte*>(halves_[half_].memory) + filled_;
    std::memcpy(place, from + done, some);
    check_cuda(cudaMemcpyAsync(to + done, place, some, cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync");
    done += some;
    filled_ += (some + 63) / 64 * 64;
  }
}

void PinnedUpload::begin(const void* host, void* dst, std::size_t bytes) {
  if (beside_ == nullptr) {
    make(asked_);
    make(arrived_);
    check_cuda(cudaStreamCreateWithFlags(&beside_, cudaStreamNonBlocking), "cudaStreamCreate");
  }
  check_cuda(cudaEventRecord(asked_, work_), "cudaEventRecord");
  check_cuda(cudaStreamWaitEvent(beside_, asked_, 0), "cudaStreamWaitEvent");
  check_cuda(cudaMemcpyAsync(dst, host, bytes, cudaMemcpyHostToDevice, beside_), "cudaMemcpyAsync");
  begun_ = true;
}

void PinnedUpload::finish() {
  if (!begun_) return;
  check_cuda(cudaEventRecord(arrived_, beside_), "cudaEventRecord");
  check_cuda(cudaStreamWaitEvent(work_, arrived_, 0), "cudaStreamWaitEvent");
  begun_ = false;
}

void PinnedUpload::wait() {
  if (beside_ != nullptr) cudaStreamSynchronize(beside_);
}

}  // namespace coxswain
