// Work that a device repeats by itself, for Backend::record: a decode step is some hundreds of small operations, and
// asking for each of them takes longer than doing it. On CUDA a recording is a graph, or several with what comes
// between them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/operation_cost.h"

namespace coxswain {

class Backend;

// Operations that a device keeps, with all their arguments.
class KeptOperations {
 public:
  virtual ~KeptOperations() = default;
  virtual void run() = 0;
};

// One work, for as long as its memory lies where it did. The backend must outlive it. The first call does the work and
// takes the memory that it needs, the second one keeps what is asked for, and later ones repeat that.
class Recording {
 public:
  Recording() = default;
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  ~Recording();

 private:
  friend class Backend;
  struct Part {
    std::unique_ptr<KeptOperations> operations;
    std::function<void()> then;  // by the host; may be empty
  };
  Backend* backend_ = nullptr;  // from the first call on
  bool complete_ = false;
  std::vector<Part> parts_;
  std::map<std::string, OperationCost> costs_;  // of one repetition
};

}  // namespace coxswain
