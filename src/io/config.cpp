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
}

}  // namespace coxswain
