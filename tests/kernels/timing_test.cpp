// What operations take, one by one: all of it is counted once, and a device is not waited for meanwhile.
#include <gtest/gtest.h>

#include <chrono>
#include <vector>

#include "kernels/aside.h"
#include "tests/kernels/tested_backend.h"
#ifdef COXSWAIN_TESTS_ON_EMULATION
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/event_timer.h"
#include "tests/emulation/streams.h"
#endif

namespace coxswain::testing {
namespace {

constexpr std::int64_t kCount = 10000;

class Timing : public ::testing::Test {
 protected:
#ifdef COXSWAIN_TESTS_ON_CUDA
  const std::unique_ptr<Backend> backend_ = make_cuda_backend(0);  // without a mirror, which waits
#else
  const std::unique_ptr<Backend> backend_ = make_cpu_backend();
#endif
  const TensorView x_{backend_->allocate(kCount * 4), DType::f32, Shape{kCount}};
  ~Timing() override { backend_->release(x_.data, x_.bytes()); }
  double seconds(const char* operation) const { return backend_->costs().at(operation).seconds; }
};

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TEST_F(Timing, CountsSecondsOnlyWhenAsked) {
  backend_->fill(x_, 1);
  EXPECT_EQ(seconds("fill"), 0);
  backend_->set_timing(true);
  backend_->fill(x_, 2);
  const double once = seconds("fill");
  EXPECT_GT(once, 0);
  EXPECT_EQ(seconds("fill"), once) << "counted again";
  backend_->fill(x_, 3);
  backend_->set_timing(false);  // what was asked for still counts
  const double twice = seconds("fill");
  EXPECT_GT(twice, once);
  backend_->fill(x_, 4);
  EXPECT_EQ(seconds("fill"), twice);
}

TEST_F(Timing, OfManyOperationsAddsUpToNoMoreThanTheyTook) {
  std::vector<float> host(kCount);
  backend_->set_timing(true);
  const double all = seconds_of([&] {
    for (int i = 0; i < 2500; ++i) backend_->fill(x_, i), backend_->add(x_, x_, x_);
    backend_->download(x_, host.data());
    backend_->synchronize();
  });
  EXPECT_GT(seconds("fill"), 0);
  EXPECT_GT(seconds("add"), 0);
  EXPECT_LE(seconds("fill") + seconds("add") + seconds("download"), all);
  EXPECT_EQ(backend_->costs().at("add").calls, 2500);
  EXPECT_EQ(host[7], 2.0f * 2499);
}

TEST_F(Timing, OfWhatIsForgottenIsNotCounted) {
  backend_->set_timing(true);
  for (int i = 0; i < 400; ++i) backend_->add(x_, x_, x_);
  backend_->synchronize();
  backend_->reset_costs();
  const double all = seconds_of([&] {
    backend_->fill(x_, 1);
    backend_->synchronize();
  });
  EXPECT_GT(seconds("fill"), 0);
  EXPECT_LE(seconds("fill"), all) << "what was forgotten is added to what came in its place";
  EXPECT_EQ(backend_->costs().size(), 1u);
}

TEST_F(Timing, OfWorkAside) {
  backend_->set_timing(true);
  {
    const Aside aside(*backend_);
    for (int i = 0; i < 20; ++i) backend_->fill(x_, i);
  }
  backend_->join_aside();
  backend_->add(x_, x_, x_);
  EXPECT_GT(seconds("fill"), 0);
  EXPECT_GT(seconds("add"), 0);
}

#ifdef COXSWAIN_TESTS_ON_EMULATION
TEST_F(Timing, DoesNotWaitForTheDevice) {
  backend_->set_timing(true);
  const std::uint64_t waits = cuda_emulation::host_record().waits;
  for (int i = 0; i < 500; ++i) backend_->add(x_, x_, x_);
  EXPECT_EQ(cuda_emulation::host_record().waits, waits);
  EXPECT_GT(seconds("add"), 0);
  EXPECT_GT(cuda_emulation::host_record().waits, waits);
}

// The outer one has the time of the inner one too; one that failed has none.
TEST_F(Timing, OfOperationsWithinOthers) {
  const cudaStream_t stream = static_cast<CudaBackend&>(*backend_).stream();
  EventTimer timer([&] { return stream; });
  double outer = 0, inner = 0;
  const std::size_t first = timer.begin();
  backend_->fill(x_, 1);
  const std::size_t second = timer.begin();
  backend_->fill(x_, 2);
  timer.end(second, inner);
  timer.begin();  // fails
  timer.end(first, outer);
  EXPECT_EQ(inner, 0);
  timer.settle();
  EXPECT_GT(inner, 0);
  EXPECT_GT(outer, inner);
  EXPECT_EQ(timer.begin(), 0u);
}
#endif

}  // namespace
}  // namespace coxswain::testing
