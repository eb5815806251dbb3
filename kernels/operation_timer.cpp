// Timing by the host's clock, for a backend whose operations are done when they return.
#include "kernels/operation_timer.h"

#include <chrono>
#include <vector>

#include "kernels/backend.h"

namespace coxswain {
namespace {

class HostTimer final : public OperationTimer {
 public:
  explicit HostTimer(Backend& backend) : backend_(backend) {}
  std::size_t begin() override {
    backend_.synchronize();
    begun_.push_back(Clock::now());
    return begun_.size() - 1;
  }
  void end(std::size_t operation, double& seconds) override {
    backend_.synchronize();
    seconds += std::chrono::duration<double>(Clock::now() - begun_[operation]).count();
    begun_.resize(operation);  // what failed within it goes too
  }

 private:
  using Clock = std::chrono::steady_clock;
  Backend& backend_;
  std::vector<Clock::time_point> begun_;  // each within the one before
};

}  // namespace

std::unique_ptr<OperationTimer> make_host_timer(Backend& backend) { return std::make_unique<HostTimer>(backend); }

}  // namespace coxswain
