// A group of ranks over MPI. Tensors lie in host memory.
#pragma once

#include <mpi.h>

#include <memory>
#include <string>
#include <vector>

#include "parallel/communicator.h"

namespace coxswain {

class MpiCommunicator final : public Communicator {
 public:
  explicit MpiCommunicator(MPI_Comm handle);  // takes the handle over and frees it
  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;
  ~MpiCommunicator() override;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string transport() const override { return "MPI"; }
  Request send(TensorView data, int to, const char* name) override;
  Request receive(TensorView data, int from, const char* name) override;
  void all_gather(TensorView piece, TensorView out, const char* name) override;
  void all_gather_rows(TensorView piece, TensorView out, const std::vector<std::int64_t>& counts,
                       const char* name) override;
  void all_to_all(TensorView in, TensorView out, const char* name) override;
  void broadcast(TensorView data, int root, const char* name) override;
  void barrier(const char* name) override;
  std::int64_t all_max(std::int64_t value, const char* name) override;
  std::int64_t all_min(std::int64_t value, const char* name) override;
  void all_merge(std::vector<double>& values, const char* name) override;
  std::string broadcast(const std::string& text, int root, const char* name) override;
  std::vector<std::string> all_gather(const std::string& text, const char* name) override;
  std::unique_ptr<Communicator> split(int color, int key, const char* name) override;

 private:
  MPI_Comm handle_;
  int rank_ = 0;
  int size_ = 1;
};

}  // namespace coxswain
