// An error that a user can act on: a message that names place, value, what is allowed and what to do, and an exit code.
#pragma once

#include <stdexcept>
#include <string>

#include "base/exit_code.h"

namespace coxswain {

// Who sees an error decides how the job ends (parallel/communicator.h, run_spmd):
// * found on every rank alike (a deck, a data file, no checkpoint): all ranks agree, it is printed once, and all return
//   the code. This is the default of usage, data and no_checkpoint.
// * found on this rank only (a broken invariant, a full disk): printed with the rank's place and ended by
// MPI_Abort(code)
//   at once, since the others may wait for this rank in a collective. This is the default of every other code.
// Say so where the default is wrong: throw Error(ExitCode::diverged, message).on_every_rank();
// An error said to be everywhere that some rank does not meet within ten seconds ends in MPI_Abort as well.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message)
      : std::runtime_error(message),
        code_(code),
        everywhere_(code == ExitCode::usage || code == ExitCode::data || code == ExitCode::no_checkpoint) {}
  ExitCode code() const { return code_; }
  bool everywhere() const { return everywhere_; }
  Error& on_every_rank() {
    everywhere_ = true;
    return *this;
  }
  Error& on_this_rank() {
    everywhere_ = false;
    return *this;
  }

 private:
  ExitCode code_;
  bool everywhere_;
};

}  // namespace coxswain
