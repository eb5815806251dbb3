// Downloads that go on while the host does. Long ones, beside the backend's work too: a stream of their own, and two
// pieces of pinned host memory, of which one is filled by the GPU while the other is copied to where it belongs. Short
// ones to pinned memory: in the work's stream, waited for later. Floor: the rate of the bus, or of one thread's copy.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstddef>

namespace coxswain {

class PinnedDownload {
 public:
  explicit PinnedDownload(int device) : device_(device) {}
  ~PinnedDownload();
  PinnedDownload(const PinnedDownload&) = delete;
  PinnedDownload& operator=(const PinnedDownload&) = delete;

  // Downloads from now on see what `work` has been asked for so far. Not in the thread of copy().
  void follow(cudaStream_t work);
  // Returns when the bytes are there. Always in the same thread.
  void copy(const void* src, void* host, std::size_t bytes);

  // To pinned memory, after what `work` has been asked for and before what comes next.
  void begin(cudaStream_t work, const void* src, void* host, std::size_t bytes);
  void wait();  // until all that was begun is there

 private:
  static constexpr std::size_t kPiece = std::size_t{4} << 20;
  struct Half {
    void* memory = nullptr;
    cudaEvent_t filled = nullptr;
  };
  void prepare();

  const int device_;
  cudaEvent_t asked_ = nullptr, begun_ = nullptr;
  cudaStream_t stream_ = nullptr;
  std::array<Half, 2> halves_;
};

}  // namespace coxswain
