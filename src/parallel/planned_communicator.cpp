// A communicator of any size that moves nothing: `--check` runs a program's own step on it, on one rank, to learn what
// it needs. Host values come back as if every rank had given the same.
#include "base/error.h"
#include "parallel/communicator.h"

namespace coxswain {

namespace {

class PlannedCommunicator final : public Communicator {
 public:
  PlannedCommunicator(int rank, int size) : rank_(rank), size_(size) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  bool planned() const override { return true; }
  std::string transport() const override { return "nothing"; }

  Request send(TensorView, int, const char*) override { return Request(); }
  Request receive(TensorView, int, const char*) override { return Request(); }
  void all_gather(TensorView, TensorView, const char*) override {}
  void all_gather_rows(TensorView, TensorView, const std::vector<std::int64_t>&, const char*) override {}
  void all_to_all(TensorView, TensorView, const char*) override {}
  void broadcast(TensorView, int, const char*) override {}

  void barrier(const char*) override {}
  std::int64_t all_max(std::int64_t value, const char*) override { return value; }
  std::int64_t all_min(std::int64_t value, const char*) override { return value; }
  void all_merge(std::vector<double>&, const char*) override {}
  std::string broadcast(const std::string& text, int, const char*) override { return text; }
  std::vector<std::string> all_gather(const std::string& text, const char*) override {
    return std::vector<std::string>(static_cast<std::size_t>(size_), text);
  }
  std::unique_ptr<Communicator> split(int, int, const char* name) override {
    throw Error(ExitCode::internal, std::string("'") + name +
                                        "' splits a planned group: only the program knows who is in the parts, so make "
                                        "them with make_planned_communicator");
  }

 private:
  int rank_, size_;
};

}  // namespace

std::unique_ptr<Communicator> make_planned_communicator(int rank, int size) {
  if (size < 1 || rank < 0 || rank >= size)
    throw Error(ExitCode::internal, "rank " + std::to_string(rank) + " of " + std::to_string(size) + " cannot be");
  return std::make_unique<PlannedCommunicator>(rank, size);
}

}  // namespace coxswain
