// Copies from a device to the host that go on in a thread of their own, one after the other, beside what the backend is
// asked for meanwhile.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

#include "kernels/view.h"

namespace coxswain {

class BackgroundDownloads {
 public:
  using Copy = std::function<void(TensorView src, void* host)>;
  using Done = std::function<void(std::exception_ptr error)>;  // no error: the bytes are there

  explicit BackgroundDownloads(Copy copy) : copy_(std::move(copy)) {}
  ~BackgroundDownloads();
  BackgroundDownloads(const BackgroundDownloads&) = delete;
  BackgroundDownloads& operator=(const BackgroundDownloads&) = delete;

  // `done` is called in the thread, in the order of the calls.
  void add(TensorView src, void* host, Done done);
  void finish() noexcept;  // waits for all of them
  // Waits if this memory is still to be read.
  void finish_reading(const void* memory, std::size_t bytes) noexcept;
  double waited_seconds() const { return waited_seconds_; }  // so far, in the two functions above

 private:
  struct Download {
    TensorView src;
    void* host;
    Done done;
  };
  void work();
  bool reads(const void* memory, std::size_t bytes);

  Copy copy_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Download> waiting_;  // the first one is under way
  std::atomic<std::size_t> count_ = 0;
  bool stops_ = false;
  double waited_seconds_ = 0;
  std::thread thread_;
};

}  // namespace coxswain
