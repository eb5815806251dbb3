// Turns an error that some ranks may have met into one that every rank throws.
#pragma once

#include <functional>

#include "parallel/communicator.h"

namespace coxswain {

// Collective: runs the body, which must not communicate, on every rank; if it threw anywhere, every rank throws the
// error of the first such rank.
void agree(Communicator& world, const char* name, const std::function<void()>& body);

// Collective: rank 0 runs the body and every rank returns its text, or throws its error.
std::string from_rank_0(Communicator& world, const char* name, const std::function<std::string()>& body);

// An outcome as text that can be sent: of a body that ran, and back to its result or error.
std::string outcome_of(const std::function<std::string()>& body);
bool is_error(const std::string& outcome);
std::string result_of(const std::string& outcome);  // throws the error, on every rank

}  // namespace coxswain
