// How long operations take, one by one: by the host's clock, or by a device's own.
#pragma once

#include <cstddef>
#include <memory>

namespace coxswain {

class Backend;

// An operation lies between begin() and end(). Operations may lie within others; one that fails has no end.
class OperationTimer {
 public:
  virtual ~OperationTimer() = default;
  virtual std::size_t begin() = 0;  // a name for the operation that is asked for next
  // It has been asked for: what it takes is added to `seconds`, by settle() at the latest.
  virtual void end(std::size_t operation, double& seconds) = 0;
  virtual void settle() {}
};

// Waits for the backend before and after each operation.
std::unique_ptr<OperationTimer> make_host_timer(Backend& backend);

}  // namespace coxswain
