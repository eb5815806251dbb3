// One piece of work at a time in a thread of its own, which must not communicate.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "io/agree.h"

namespace coxswain {

class BackgroundTask {
 public:
  ~BackgroundTask() { join(); }
  void start(std::function<std::string()> body) {
    join();
    finished_ = false;
    thread_ = std::thread([this, body = std::move(body)] {
      outcome_ = outcome_of(body);
      finished_ = true;
    });
  }
  bool finished() const { return finished_; }
  void join() {
    if (thread_.joinable()) thread_.join();
  }
  // The result or the error, as outcome_of gives it, once; then nothing. Waits.
  std::string outcome() {
    join();
    return std::exchange(outcome_, {});
  }

 private:
  std::thread thread_;
  std::atomic<bool> finished_{true};
  std::string outcome_;
};

}  // namespace coxswain
