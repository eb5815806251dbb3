#include "kernels/background_downloads.h"

#include <algorithm>
#include <chrono>

namespace coxswain {

BackgroundDownloads::~BackgroundDownloads() {
  {
    const std::lock_guard lock(mutex_);
    stops_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void BackgroundDownloads::add(TensorView src, void* host, Done done) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back({src, host, std::move(done)});
    count_ = waiting_.size();
  }
  changed_.notify_all();
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
}

void BackgroundDownloads::finish() noexcept {
  if (count_ == 0) return;
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return waiting_.empty(); });
  waited_seconds_ += std::chrono::duration<double>(Clock::now() - start).count();
}

void BackgroundDownloads::finish_reading(const void* memory, std::size_t bytes) noexcept {
  if (count_ != 0 && reads(memory, bytes)) finish();
}

bool BackgroundDownloads::reads(const void* memory, std::size_t bytes) {
  const auto* begin = static_cast<const std::byte*>(memory);
  const std::less<const std::byte*> before;
  const std::lock_guard lock(mutex_);
  return std::any_of(waiting_.begin(), waiting_.end(), [&](const Download& download) {
    const auto* source = static_cast<const std::byte*>(download.src.data);
    return before(source, begin + bytes) && before(begin, source + download.src.bytes());
  });
}

void BackgroundDownloads::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stops_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    Download& download = waiting_.front();  // others only append
    lock.unlock();
    std::exception_ptr error;
    try {
      copy_(download.src, download.host);
    } catch (...) {
      error = std::current_exception();
    }
    download.done(error);
    lock.lock();
    waiting_.pop_front();
    count_ = waiting_.size();
    if (waiting_.empty()) changed_.notify_all();
  }
}

}  // namespace coxswain
