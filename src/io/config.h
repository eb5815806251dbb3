// When checkpoints are written and how many stay.
#pragma once

#include <cstdint>

namespace coxswain {

struct CheckpointConfig {
  std::int64_t every = 0;  // steps; 0: only at the end
  int keep = 2;            // newest ones that stay on disk; 0: all
  bool background = true;  // write from a host copy while training goes on
  bool at_end = true;      // also after the last step

  void check() const;

  friend bool operator==(const CheckpointConfig&, const CheckpointConfig&) = default;
};

}  // namespace coxswain
