// Uploads that do not make the host wait for the GPU. From ordinary memory: through two pieces of pinned memory, of
// which one is filled while the GPU reads the other, in the stream that asks. From pinned memory: in a stream of their
// own, beside the work. Floor: the rate of the bus, or of one thread's copy where memory is not pinned.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstddef>

namespace coxswain {

class PinnedUpload {
 public:
  explicit PinnedUpload(cudaStream_t work) : work_(work) {}
  ~PinnedUpload();
  PinnedUpload(const PinnedUpload&) = delete;
  PinnedUpload& operator=(const PinnedUpload&) = delete;

  // After what the stream has been asked for, and before what comes next there: the work's, or the one of what goes on
  // aside. The host's memory may change at once.
  void copy(cudaStream_t stream, const void* host, void* dst, std::size_t bytes);
  // After what the work has been asked for (dst may be the memory of something that it still reads), beside what comes
  // next until finish(). `host` is pinned, and stays as it is until then.
  void begin(const void* host, void* dst, std::size_t bytes);
  void finish();  // what the work is asked for from now on sees what has been begun
  void wait();    // until nothing that was begun is under way

 private:
  static constexpr std::size_t kPiece = std::size_t{4} << 20;
  struct Half {
    void* memory = nullptr;
    cudaStream_t reader = nullptr;  // of all that it holds
    cudaEvent_t read = nullptr;     // by the GPU, all of it
  };
  void turn();  // to the other half

  cudaStream_t work_, beside_ = nullptr;
  cudaEvent_t asked_ = nullptr, arrived_ = nullptr;
  std::array<Half, 2> halves_;
  std::size_t half_ = 0, filled_ = kPiece;  // the one in use, and how far
  bool begun_ = false;
};

}  // namespace coxswain
