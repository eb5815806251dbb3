// Prompts of random tokens, for benchmarks.
#pragma once

#include <cstdint>
#include <vector>

#include "base/random.h"

namespace coxswain {

// `count` prompts of `length` tokens below `vocabulary` each.
std::vector<std::vector<std::int32_t>> random_prompts(const RandomKey& key, std::int64_t count, std::int64_t length,
                                                      std::int64_t vocabulary);

}  // namespace coxswain
