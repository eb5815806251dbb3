// Files that a run writes at its end.
#pragma once

#include <string>

#include "parallel/communicator.h"

namespace coxswain {

// Before the work: whether the file will be one that can be written. Makes its folder, leaves a file that is there as
// it is. `key` is for the message of Error(input_output): "[generate] output". An empty path: no file is wanted.
// Collective: rank 0 tries.
void try_output(Communicator& world, const std::string& path, const char* key);

}  // namespace coxswain
