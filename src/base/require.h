// What a struct's check() says of a value that cannot be: key, value, what is allowed and what to do.
#pragma once

#include <fmt/format.h>

#include <string>

#include "base/error.h"

namespace coxswain {

// Throws Error(usage) "[section] key = value why" unless the value is good.
template <class Value>
void require(bool good, const char* key, const Value& value, const std::string& why) {
  if (!good) throw Error(ExitCode::usage, fmt::format("{} = {} {}", key, value, why));
}

}  // namespace coxswain
