#include "io/config.h"

#include <fmt/format.h>

#include "base/error.h"

namespace coxswain {

void CheckpointConfig::check() const {
  if (every < 0) {
    throw Error(ExitCode::usage,
                fmt::format("[checkpoint] every = {} must not be negative; 0 is only at the end", every));
  }
  if (keep < 0) {
    throw Error(ExitCode::usage, fmt::format("[checkpoint] keep = {} must not be negative; 0 keeps all", keep));
  }
  if (every > 0 && keep == 1) {
    throw Error(
        ExitCode::usage,
        "[checkpoint] keep = 1 leaves nothing to fall back on while the next one is written; use 2 or more, or 0 "
        "for all");
  }
}

}  // namespace coxswain
