// What must be on a restart as it was when the checkpoint was written: data, and models that a run only looks at.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/archive.h"

namespace coxswain {

// Writes `now` under this name, or compares it with what stands there. Throws Error(data): "the checkpoint was written
// with WHAT THEN, now it is NOW".
void check_unchanged(Archive& archive, const std::string& name, const std::string& now, const std::string& what);

// Of all tokens, in their order.
std::string content_hash(const std::vector<std::vector<std::int32_t>>& sequences);

}  // namespace coxswain
