// What every transport of a Communicator asks of its arguments. Throws Error(internal) that names the operation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/view.h"

namespace coxswain::checks {

void require(bool holds, const char* name, const std::string& message);
void require_dense(const TensorView& view, const char* name);
// Whether the own piece lies inside `out` already, at byte `place`; elsewhere inside `out` it is a mistake.
bool lies_at(const TensorView& piece, const TensorView& out, std::size_t place, const char* name);

void all_gather(const TensorView& piece, const TensorView& out, int size, const char* name);
struct Rows {
  std::size_t bytes = 0;             // of one
  std::vector<std::int64_t> starts;  // of every rank's
};
Rows all_gather_rows(const TensorView& piece, const TensorView& out, const std::vector<std::int64_t>& counts, int size,
                     int rank, const char* name);
void all_to_all(const TensorView& in, const TensorView& out, int size, const char* name);

}  // namespace coxswain::checks
