#include "data/unchanged.h"

#include <fmt/format.h>

#include "base/error.h"

namespace coxswain {

void check_unchanged(Archive& archive, const std::string& name, const std::string& now, const std::string& what) {
  std::string then = now;
  archive.value(name, then);
  if (then != now) {
    throw Error(ExitCode::data, fmt::format("the checkpoint was written with {} {}, now it is {}: the order of samples "
                                            "cannot go on. Restore it, or start a new run from the weights",
                                            what, then, now));
  }
}

}  // namespace coxswain
