// Backend::record: who keeps what of a repeated work, and in which memory.
//
// Kept operations write to the same memory each time, at moments when the pool may have given it to somebody else. So
// what recorded work takes and gives back comes from a pool of its own. All recordings share it, since nothing in it
// outlives a work; it goes to the common pool with the last recording.
#include "kernels/recording.h"

#include <stdexcept>

#include "kernels/backend.h"

namespace coxswain {

namespace {

using Costs = std::map<std::string, OperationCost>;

void sum_up(Costs& sums, const Costs& more, double sign) {
  for (const auto& [operation, cost] : more) {
    OperationCost& sum = sums[operation];
    sum.calls += static_cast<std::int64_t>(sign) * cost.calls;
    sum.flops += sign * cost.flops;
    sum.bytes += sign * cost.bytes;
  }
}

// A flag that has another value while this lives.
class Switched {
 public:
  Switched(bool& flag, bool value) : flag_(flag), before_(flag) { flag_ = value; }
  Switched(const Switched&) = delete;
  Switched& operator=(const Switched&) = delete;
  ~Switched() { flag_ = before_; }

 private:
  bool& flag_;
  bool before_;
};

}  // namespace

Recording::~Recording() {
  if (backend_ == nullptr) return;
  parts_.clear();
  backend_->forget_recording();
}

// Keeps what is asked for while it lives, part after part. A part runs as soon as it is complete: other ranks wait for
// what comes after it.
class Backend::Recorder {
 public:
  Recorder(Backend& backend, Recording& recording) : backend_(backend), recording_(recording) {
    backend_.recorder_ = this;
    begin();
  }
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;
  ~Recorder() {
    backend_.recorder_ = nullptr;
    if (keeps_) backend_.stop_keeping();
    if (!recording_.complete_) recording_.parts_.clear();
  }

  void interrupt(const std::function<void()>& work) {
    end(work);
    work();
    begin();
  }
  void complete() {
    end({});
    recording_.complete_ = true;
  }

 private:
  void begin() {
    before_ = backend_.costs_;
    backend_.begin_keeping();
    keeps_ = true;
  }
  void end(const std::function<void()>& then) {
    keeps_ = false;
    recording_.parts_.push_back({backend_.end_keeping(), then});
    sum_up(recording_.costs_, backend_.costs_, 1);
    sum_up(recording_.costs_, before_, -1);
    recording_.parts_.back().operations->run();
  }

  Backend& backend_;
  Recording& recording_;
  Costs before_;
  bool keeps_ = false;
};

void Backend::record(Recording& recording, const std::function<void()>& work) {
  if (!records() || timer_ || in_recorded_work_) return work();  // operations are timed one by one
  if (recording.complete_) {
    for (const Recording::Part& part : recording.parts_) {
      part.operations->run();
      if (part.then) part.then();
    }
    return sum_up(costs_, recording.costs_, 1);
  }
  const bool known = recording.backend_ != nullptr;
  if (!known) recording.backend_ = this, ++recordings_;
  recorded_blocks_ = 0;
  {
    const Switched inside(in_recorded_work_, true);
    if (known) {
      Recorder recorder(*this, recording);
      work();
      recorder.complete();
    } else {
      work();
    }
  }
  if (recorded_blocks_ != 0)
    throw std::logic_error("recorded work keeps memory that it took, or gives other memory back");
}

void Backend::apart(const std::function<void()>& work) {
  if (!in_recorded_work_) return work();
  const Switched outside(in_recorded_work_, false);
  recorder_ == nullptr ? work() : recorder_->interrupt(work);
}

void Backend::forget_recording() noexcept {
  if (--recordings_ > 0) return;
  for (auto& [size, blocks] : recorded_pool_) {
    Blocks& common = pool_[size];
    common.count += blocks.count;
    common.idle.reserve(common.count);
    common.idle.insert(common.idle.end(), blocks.idle.begin(), blocks.idle.end());
  }
  recorded_pool_.clear();
}

void Backend::require_unrecorded(const char* operation) const {
  if (in_recorded_work_) throw std::logic_error(std::string(operation) + " in recorded work would not be repeated");
}

}  // namespace coxswain
