#include "parallel/mpi_support.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace coxswain {

void check_mpi(int status, const char* call, const char* name) {
  if (status == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "unknown error";
  int length = 0;
  MPI_Error_string(status, text, &length);
  throw Error(ExitCode::internal, std::string(call) + " failed in '" + name + "': " + text);
}

MessageType::MessageType(std::size_t bytes, std::size_t largest) {
  if (bytes <= largest) {
    count_ = static_cast<int>(bytes);
    return;
  }
  // Blocks of 1 GiB (or of what a test takes for the largest count) and what is left.
  const std::size_t block = std::min<std::size_t>(largest, std::size_t{1} << 30);
  MPI_Datatype blocks = MPI_DATATYPE_NULL;
  MPI_Datatype one_block = MPI_DATATYPE_NULL;
  check_mpi(MPI_Type_contiguous(static_cast<int>(block), MPI_BYTE, &one_block), "MPI_Type_contiguous", "long message");
  const std::size_t full = bytes / block;
  check_mpi(MPI_Type_contiguous(static_cast<int>(full), one_block, &blocks), "MPI_Type_contiguous", "long message");
  int lengths[2] = {1, static_cast<int>(bytes % block)};
  MPI_Aint places[2] = {0, static_cast<MPI_Aint>(full * block)};
  MPI_Datatype types[2] = {blocks, MPI_BYTE};
  check_mpi(MPI_Type_create_struct(2, lengths, places, types, &type_), "MPI_Type_create_struct", "long message");
  check_mpi(MPI_Type_commit(&type_), "MPI_Type_commit", "long message");
  MPI_Type_free(&one_block);
  MPI_Type_free(&blocks);
  count_ = 1;
}

MessageType::~MessageType() {
  if (type_ != MPI_BYTE) MPI_Type_free(&type_);
}

}  // namespace coxswain
