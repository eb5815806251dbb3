// Events around operations, and their times as soon as somebody asks, or there are many.
//
// Floor: none; an event takes the GPU about a microsecond.
#include "kernels/cuda/event_timer.h"

#include "kernels/cuda/runtime.h"

namespace coxswain {

Stopwatch::Stopwatch() {
  for (cudaEvent_t& event : events_) check_cuda(cudaEventCreateWithFlags(&event, 0), "cudaEventCreate");
}

Stopwatch::~Stopwatch() {
  for (cudaEvent_t event : events_) cudaEventDestroy(event);
}

void Stopwatch::start(cudaStream_t stream) { check_cuda(cudaEventRecord(events_[0], stream), "cudaEventRecord"); }

void Stopwatch::stop(cudaStream_t stream) { check_cuda(cudaEventRecord(events_[1], stream), "cudaEventRecord"); }

double Stopwatch::seconds() const {
  check_cuda(cudaEventSynchronize(events_[1]), "cudaEventSynchronize");
  float milliseconds = 0;
  check_cuda(cudaEventElapsedTime(&milliseconds, events_[0], events_[1]), "cudaEventElapsedTime");
  return static_cast<double>(milliseconds) * 1e-3;
}

std::size_t EventTimer::begin() {
  std::unique_ptr<Stopwatch> watch;
  if (idle_.empty()) {
    watch = std::make_unique<Stopwatch>();
  } else {
    watch = std::move(idle_.back());
    idle_.pop_back();
  }
  watch->start(stream_());
  begun_.push_back(std::move(watch));
  return begun_.size() - 1;
}

void EventTimer::end(std::size_t operation, double& seconds) {
  constexpr std::size_t kMost = 1024;  // pairs of events: more are not made
  begun_[operation]->stop(stream_());
  ended_.push_back({std::move(begun_[operation]), &seconds});
  begun_.resize(operation);  // what failed within it goes too
  if (ended_.size() > kMost) settle_first();
}

void EventTimer::settle_first() {
  Operation& first = ended_.front();
  *first.seconds += first.watch->seconds();
  idle_.push_back(std::move(first.watch));
  ended_.pop_front();
}

void EventTimer::settle() {
  while (!ended_.empty()) settle_first();
}

}  // namespace coxswain
