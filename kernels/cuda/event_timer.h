// Timing by the GPU's clock: events around the work in its own stream. Nobody waits, so that what is measured are the
// operations as they follow each other, without the host's part in a wait for each (some 15 us).
//
// An event is reached when what lies before it in its stream is done. Where the GPU has run out of work, the time until
// the host has asked for the next operation counts as that operation's.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <deque>
#include <functional>
#include <vector>

#include "kernels/operation_timer.h"

namespace coxswain {

// Two points in a stream, and the time between them.
class Stopwatch {
 public:
  Stopwatch();
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  ~Stopwatch();
  void start(cudaStream_t stream);
  void stop(cudaStream_t stream);
  double seconds() const;  // waits until the second point is passed

 private:
  std::array<cudaEvent_t, 2> events_{};
};

class EventTimer final : public OperationTimer {
 public:
  // `stream`: of what is asked for now.
  explicit EventTimer(std::function<cudaStream_t()> stream) : stream_(std::move(stream)) {}
  std::size_t begin() override;
  void end(std::size_t operation, double& seconds) override;
  void settle() override;

 private:
  struct Operation {
    std::unique_ptr<Stopwatch> watch;
    double* seconds;
  };
  void settle_first();

  std::function<cudaStream_t()> stream_;
  std::vector<std::unique_ptr<Stopwatch>> begun_;  // each within the one before
  std::vector<std::unique_ptr<Stopwatch>> idle_;
  std::deque<Operation> ended_;  // whose time has not been asked for yet
};

}  // namespace coxswain
