// What must be on a restart as it was when the checkpoint was written, so that the order of the data can go on.
#pragma once

#include <string>

#include "tensor/archive.h"

namespace coxswain {

// Writes `now` under this name, or compares it with what stands there. Throws Error(data): "the checkpoint was written
// with WHAT THEN, now it is NOW".
void check_unchanged(Archive& archive, const std::string& name, const std::string& now, const std::string& what);

}  // namespace coxswain
