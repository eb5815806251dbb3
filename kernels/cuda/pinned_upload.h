// Small uploads that the host does not wait for: through a ring of pinned memory, in the work's own stream. From
// ordinary memory CUDA would first wait for the stream's end ("API synchronization behavior" in its manual). Floor: one
// copy.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstddef>

namespace coxswain {

class PinnedUpload {
 public:
  static constexpr std::size_t kMost = std::size_t{64} << 10;  // bytes of one upload

  PinnedUpload() = default;
  ~PinnedUpload();
  PinnedUpload(const PinnedUpload&) = delete;
  PinnedUpload& operator=(const PinnedUpload&) = delete;

  // Returns when `host` has been read. Waits only for an upload 16 uploads ago.
  void copy(const void* host, void* dst, std::size_t bytes, cudaStream_t stream);

 private:
  static constexpr std::size_t kPieces = 16;
  void prepare();

  std::byte* memory_ = nullptr;
  std::array<cudaEvent_t, kPieces> read_{};  // the piece may be written again
  std::size_t next_ = 0;
};

}  // namespace coxswain
