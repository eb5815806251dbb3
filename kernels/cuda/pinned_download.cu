#include "kernels/cuda/pinned_download.h"

#include <algorithm>
#include <cstring>

#include "kernels/cuda/runtime.h"

namespace coxswain {

PinnedDownload::~PinnedDownload() {
  for (const Half& half : halves_) {
    if (half.memory != nullptr) cudaFreeHost(half.memory);
    if (half.filled != nullptr) cudaEventDestroy(half.filled);
  }
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
  for (cudaEvent_t event : {asked_, begun_})
    if (event != nullptr) cudaEventDestroy(event);
}

void PinnedDownload::follow(cudaStream_t work) {
  if (asked_ == nullptr)
    check_cuda(cudaEventCreateWithFlags(&asked_, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  check_cuda(cudaEventRecord(asked_, work), "cudaEventRecord");
}

void PinnedDownload::prepare() {
  if (stream_ != nullptr) return;
  check_cuda(cudaSetDevice(device_), "cudaSetDevice");  // of this thread
  for (Half& half : halves_) {
    check_cuda(cudaMallocHost(&half.memory, kPiece), "cudaMallocHost");
    check_cuda(cudaEventCreateWithFlags(&half.filled, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  }
  check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
}

void PinnedDownload::copy(const void* src, void* host, std::size_t bytes) {
  prepare();
  // A later work than was asked for may be waited for: it has been asked for, so it ends.
  check_cuda(cudaStreamWaitEvent(stream_, asked_, 0), "cudaStreamWaitEvent");
  const auto* from = static_cast<const std::byte*>(src);
  auto* to = static_cast<std::byte*>(host);
  const std::size_t pieces = (bytes + kPiece - 1) / kPiece;
  const auto length = [&](std::size_t piece) { return std::min(kPiece, bytes - piece * kPiece); };
  for (std::size_t piece = 0; piece <= pieces; ++piece) {
    if (piece < pieces) {
      const Half& half = halves_[piece % 2];
      check_cuda(cudaMemcpyAsync(half.memory, from + piece * kPiece, length(piece), cudaMemcpyDeviceToHost, stream_),
                 "cudaMemcpyAsync");
      check_cuda(cudaEventRecord(half.filled, stream_), "cudaEventRecord");
    }
    if (piece == 0) continue;
    const Half& before = halves_[(piece - 1) % 2];
    check_cuda(cudaEventSynchronize(before.filled), "cudaEventSynchronize");
    std::memcpy(to + (piece - 1) * kPiece, before.memory, length(piece - 1));
  }
}

void PinnedDownload::begin(cudaStream_t work, const void* src, void* host, std::size_t bytes) {
  if (begun_ == nullptr)
    check_cuda(cudaEventCreateWithFlags(&begun_, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  check_cuda(cudaMemcpyAsync(host, src, bytes, cudaMemcpyDeviceToHost, work), "cudaMemcpyAsync");
  check_cuda(cudaEventRecord(begun_, work), "cudaEventRecord");
}

void PinnedDownload::wait() {
  if (begun_ != nullptr) check_cuda(cudaEventSynchronize(begun_), "cudaEventSynchronize");
}

}  // namespace coxswain
