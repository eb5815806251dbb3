// An error that a user can act on: a message that names place, value, what is allowed and what to do, and an exit code.
#pragma once

#include <stdexcept>
#include <string>

#include "base/exit_code.h"

namespace coxswain {

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

// A user's mistake is found by every rank alike: rank 0 prints it once and all end with its code. Anything that only
// one rank may see (a full disk, a broken invariant) is an Error that must be agreed on, or ends in MPI_Abort.

}  // namespace coxswain
