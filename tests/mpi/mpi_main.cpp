// The main program of tests that run under mpirun. Rank 0 prints as usual, the others only what failed.
#include <gtest/gtest.h>

#include <cstdio>

#include "mpi_test.h"

namespace coxswain {

namespace {

Communicator* the_world = nullptr;

class FailuresOnly final : public testing::EmptyTestEventListener {
 public:
  explicit FailuresOnly(int rank) : rank_(rank) {}
  void OnTestStart(const testing::TestInfo& info) override { info_ = &info; }
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::fprintf(stderr, "[rank %d] %s:%d: %s.%s\n%s\n", rank_, result.file_name() ? result.file_name() : "?",
                 result.line_number(), info_ ? info_->test_suite_name() : "?", info_ ? info_->name() : "?",
                 result.message());
  }

 private:
  int rank_;
  const testing::TestInfo* info_ = nullptr;
};

}  // namespace

Communicator& world() { return *the_world; }

}  // namespace coxswain

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  GTEST_FLAG_SET(catch_exceptions, false);  // the other ranks may wait for this one: let run_spmd end the job
  return coxswain::run_spmd(argc, argv, [](coxswain::Communicator& world) {
    coxswain::the_world = &world;
    if (world.rank() != 0) {
      auto& listeners = testing::UnitTest::GetInstance()->listeners();
      delete listeners.Release(listeners.default_result_printer());
      listeners.Append(new coxswain::FailuresOnly(world.rank()));  // GoogleTest owns it
    }
    return RUN_ALL_TESTS();
  });
}
