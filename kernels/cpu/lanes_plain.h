// Lines without vector instructions of a known kind. Included by lanes.h.
#pragma once

#include <bit>

#include "kernels/cpu/lanes.h"

namespace coxswain {

struct Line {
  std::uint32_t v[kLanes] = {};
};
COXSWAIN_INLINE Line load_line(const void* from, std::int64_t bytes = 64) {
  Line line;
  std::memcpy(line.v, from, static_cast<std::size_t>(std::clamp<std::int64_t>(bytes, 0, 64)));
  return line;
}
COXSWAIN_INLINE Line repeat_eight_bytes(const void* from) {
  Line line;
  for (int i = 0; i < kLanes; i += 2) std::memcpy(line.v + i, from, 8);
  return line;
}
COXSWAIN_INLINE void load_eight_bytes_of_rows(const void* from, std::int64_t stride, Line* lines) {
  for (int row = 0; row < kLanes / 2; ++row)
    for (int s = 0; s < 4; ++s)
      std::memcpy(lines[s].v + 2 * row, static_cast<const char*>(from) + row * stride + 8 * s, 8);
}
COXSWAIN_INLINE Lanes<float> floats_of(const Line& line) { return std::bit_cast<Lanes<float>>(line); }
COXSWAIN_INLINE Lanes<float> even_numbers(const Line& line) {
  Lanes<float> lanes;
  for (int i = 0; i < kLanes; ++i) lanes.v[i] = std::bit_cast<float>(line.v[i] << 16);
  return lanes;
}
COXSWAIN_INLINE Lanes<float> odd_numbers(const Line& line) {
  Lanes<float> lanes;
  for (int i = 0; i < kLanes; ++i) lanes.v[i] = std::bit_cast<float>(line.v[i] & 0xffff0000u);
  return lanes;
}

}  // namespace coxswain
