#include "rl/random_prompts.h"

namespace coxswain {

std::vector<std::vector<std::int32_t>> random_prompts(const RandomKey& key, std::int64_t count, std::int64_t length,
                                                      std::int64_t vocabulary) {
  std::vector<std::vector<std::int32_t>> prompts(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t t = 0; t < length; ++t)
      prompts[static_cast<std::size_t>(i)].push_back(static_cast<std::int32_t>(
          uniform_integer(key, static_cast<std::uint64_t>(i * length + t), static_cast<std::uint64_t>(vocabulary))));
  return prompts;
}

}  // namespace coxswain
