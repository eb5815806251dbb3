#include "parallel/nccl_watch.h"

#include <cuda_runtime.h>
#include <fmt/format.h>

#include <algorithm>

namespace coxswain {

NcclWatch::NcclWatch(int device, double limit_seconds, std::function<void(const std::string& message)> end)
    : limit_(limit_seconds), end_(std::move(end)), thread_([this, device] { look_after(device); }) {}

NcclWatch::~NcclWatch() {
  {
    const auto held = lock();
    ends_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void NcclWatch::add(Watched& watched) {
  const auto held = lock();
  watched_.insert(&watched);
}

void NcclWatch::remove(Watched& watched) {
  const auto held = lock();
  watched_.erase(&watched);
}

void NcclWatch::look_after(int device) {
  cudaSetDevice(device);
  const auto pause = std::min(std::chrono::duration<double>(0.1), limit_ / 10);
  auto held = lock();
  while (!wake_.wait_for(held, pause, [this] { return ends_; })) {
    if (const auto found = problem()) end_(*found);
  }
}

std::optional<std::string> NcclWatch::problem() const {
  const auto now = WatchClock::now();
  for (Watched* watched : watched_) {
    if (auto found = watched->problem(now, limit_)) return found;
  }
  if (!waiting_.empty() && now - waiting_since_ > limit_) return late_text(waiting_, limit_);
  return std::nullopt;
}

NcclWatch::Waiting::Waiting(NcclWatch& watch, const std::string& name) : watch_(watch) {
  const auto held = watch_.lock();
  watch_.waiting_ = name;
  watch_.waiting_since_ = WatchClock::now();
}

NcclWatch::Waiting::~Waiting() {
  const auto held = watch_.lock();
  watch_.waiting_.clear();
}

std::string late_text(const std::string& name, std::chrono::duration<double> limit) {
  return fmt::format(
      "NCCL: '{}' has not ended for {} s ([device] hang_seconds): another rank did not "
      "come, or the network stands still",
      name, limit.count());
}

}  // namespace coxswain
