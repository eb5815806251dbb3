// The program's exit codes: a contract with job scripts.
#pragma once

namespace coxswain {

enum class ExitCode : int {
  finished = 0,
  usage = 64,          // deck or command line
  data = 65,           // data, tokenizer or weights
  no_checkpoint = 66,  // none usable
  internal = 70,
  input_output = 74,  // disk full, read-only folder
  requeue = 75,       // saved: run me again
  diverged = 76,      // numbers are no longer finite
  replicas_disagree = 77,
  hang = 78,
};

}  // namespace coxswain
