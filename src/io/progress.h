// How far one thread has come with some bytes, for others that follow it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace coxswain {

class Progress {
 public:
  void start() { set(0, false); }
  void reach(std::int64_t bytes) { set(bytes, false); }
  void give_up() { set(-1, true); }  // no more will come

  // Waits until `bytes` have been reached. False if they never will be.
  bool wait(std::int64_t bytes) const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return bytes_ >= bytes || given_up_; });
    return bytes_ >= bytes;
  }

 private:
  void set(std::int64_t bytes, bool given_up) {
    {
      const std::lock_guard lock(mutex_);
      if (!given_up) bytes_ = bytes;
      given_up_ = given_up;
    }
    changed_.notify_all();
  }
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::int64_t bytes_ = 0;
  bool given_up_ = false;
};

}  // namespace coxswain
