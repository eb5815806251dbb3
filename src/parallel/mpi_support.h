// What the MPI code here shares: statuses become Errors, and messages longer than an int can count.
#pragma once

#include <mpi.h>

#include <climits>
#include <cstddef>
#include <string>

#include "base/exit_code.h"
#include "parallel/communicator.h"

namespace coxswain {

// Throws Error(internal) that names the call and the operation unless `status` is MPI_SUCCESS.
void check_mpi(int status, const char* call, const char* name);

// Prints the message with the rank, its place in the grid and its node, and ends all ranks with the code. From a thread
// beside the one that MPI knows, too.
[[noreturn]] void abort_job(const Communicator& world, const std::string& message, ExitCode code);

// `bytes` bytes as `count` elements of `type`: plain bytes, or one element of a committed type where an int is too
// small.
class MessageType {
 public:
  explicit MessageType(std::size_t bytes, std::size_t largest = INT_MAX);
  MessageType(const MessageType&) = delete;
  MessageType& operator=(const MessageType&) = delete;
  ~MessageType();
  MPI_Datatype type() const { return type_; }
  int count() const { return count_; }

 private:
  MPI_Datatype type_ = MPI_BYTE;
  int count_ = 0;
};

}  // namespace coxswain
