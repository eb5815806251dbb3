// What a test that runs under mpirun includes beside GoogleTest. Every rank runs every test; a failure on any rank
// fails the test. An exception ends the job, as it does in the program.
#pragma once

#include "parallel/communicator.h"

namespace coxswain {

Communicator& world();  // all ranks of the test

}  // namespace coxswain
