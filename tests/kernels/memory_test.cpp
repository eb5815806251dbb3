// The pool, copies between views, and what the counting backend has in common with the CPU.
#include <set>

#include "tests/kernels/reference.h"

namespace coxswain {
namespace {

using testing::Host;

TEST(Pool, ASecondIdenticalRoundTakesNothingFromTheSystem) {
  const std::unique_ptr<Backend> backend = make_cpu_backend();
  std::set<void*> seen[2];
  std::size_t reserved = 0;
  for (int round = 0; round < 2; ++round) {
    std::vector<std::pair<void*, std::size_t>> held;
    for (const std::size_t bytes : {std::size_t{1000}, std::size_t{0}, std::size_t{1000}, std::size_t{5000000}}) {
      held.emplace_back(backend->allocate(bytes), bytes);
      ASSERT_NE(held.back().first, nullptr);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(held.back().first) % 64, 0u);
      seen[round].insert(held.back().first);
    }
    EXPECT_EQ(seen[round].size(), held.size());
    EXPECT_EQ(backend->memory().in_use, 1024u + 64u + 1024u + 5000000u / 64 * 64 + 64 * (5000000 % 64 != 0));
    if (round == 0) reserved = backend->memory().reserved;
    for (const auto& [memory, bytes] : held) backend->release(memory, bytes);
  }
  EXPECT_EQ(seen[0], seen[1]);
  EXPECT_EQ(backend->memory().reserved, reserved);
  EXPECT_EQ(backend->memory().in_use, 0u);
  EXPECT_GT(backend->memory().peak, 5000000u);
  backend->reset_peak();
  EXPECT_EQ(backend->memory().peak, 0u);
}

TEST(Copy, TransposesAndConverts) {
  const std::unique_ptr<Backend> backend = testing::make_tested_backend();
  const std::int64_t b = 3, t = 5, a = 2, d = 7;
  Host<float> from = Host<float>::random({b, t, a, d}, 1);
  Host<bf16> to({b, a, t, d});
  TensorView swapped = to;  // [b, t, a, d] over memory [b, a, t, d]
  std::swap(swapped.shape[1], swapped.shape[2]);
  std::swap(swapped.strides[1], swapped.strides[2]);
  backend->copy(from, swapped);
  for (std::int64_t i = 0; i < b * t * a * d; ++i) {
    const std::int64_t l = i % d, head = i / d % a, token = i / d / a % t, sequence = i / d / a / t;
    ASSERT_EQ(to[((sequence * a + head) * t + token) * d + l].bits, bf16(from[i]).bits) << i;
  }
  Host<double> wide({a, 100003});  // dense, several pieces
  Host<float> narrow = Host<float>::random({a, 100003}, 2);
  backend->copy(narrow, wide);
  for (std::int64_t i = 0; i < wide.size(); i += 997) ASSERT_EQ(wide[i], narrow.at(i));
  Host<std::int32_t> integers({a, 100003});
  EXPECT_THROW(backend->copy(narrow, integers), std::invalid_argument);
}

TEST(Fill, OnlyTheView) {
  const std::unique_ptr<Backend> backend = testing::make_tested_backend();
  Host<float> matrix({4, 6});
  backend->fill(matrix.view().slice(1, 2, 3), 2.5);
  for (std::int64_t i = 0; i < 24; ++i) EXPECT_EQ(matrix[i], i % 6 >= 2 && i % 6 < 5 ? 2.5f : 0.0f) << i;
  Host<bf16> rounded({3});
  backend->fill(rounded, 1.00390625);  // half a step above one
  EXPECT_EQ(static_cast<float>(rounded[2]), 1.0f);
}

// One layer's worth of operations, with its memory taken from the backend.
void run_step(Backend& backend) {
  const std::int64_t m = 24, n = 40, k = 16;
  struct Block {
    Block(Backend& owner, DType dtype, const Shape& shape)
        : backend(owner), view(nullptr, dtype, shape), bytes(view.bytes()) {
      view.data = backend.allocate(bytes);
      backend.fill(view, 0.5);
    }
    ~Block() { backend.release(view.data, bytes); }
    Backend& backend;
    TensorView view;
    std::size_t bytes;
  };
  const Block x(backend, DType::bf16, {m, k}), w(backend, DType::bf16, {n, k}), y(backend, DType::bf16, {m, n});
  const Block dw(backend, DType::f32, {n, k}), master(backend, DType::f32, {n * k});
  const Block moment1(backend, DType::f32, {n * k}), moment2(backend, DType::f32, {n * k});
  backend.linear(x.view, w.view, y.view);
  {
    const Block dx(backend, DType::bf16, {m, k});
    backend.linear_input_gradient(y.view, w.view, dx.view);
  }
  backend.linear_weight_gradient(y.view, x.view, dw.view);
  const Block square(backend, DType::f64, {1}), scale(backend, DType::f64, {1});
  backend.sum_of_squares(dw.view.flat(), n * k, square.view);
  double norm = 1;
  backend.download(square.view, &norm);
  EXPECT_EQ(norm == 0, backend.name() == "counting");
  backend.clip({square.view, square.view, 1.0, square.view, scale.view});
  backend.adamw({dw.view.flat(), scale.view, master.view, moment1.view, moment2.view, w.view.flat(), {}});
}

TEST(CountingBackend, CountsWhatTheCpuCounts) {
  const std::unique_ptr<Backend> cpu = make_cpu_backend(), counting = make_counting_backend();
  for (Backend* backend : {cpu.get(), counting.get()}) run_step(*backend);
  EXPECT_EQ(counting->memory().peak, cpu->memory().peak);
  EXPECT_EQ(counting->memory().reserved, cpu->memory().reserved);
  ASSERT_EQ(counting->costs().size(), cpu->costs().size());
  for (const auto& [name, cost] : cpu->costs()) {
    const OperationCost& counted = counting->costs().at(name);
    EXPECT_EQ(counted.calls, cost.calls) << name;
    EXPECT_EQ(counted.flops, cost.flops) << name;
    EXPECT_EQ(counted.bytes, cost.bytes) << name;
  }
  EXPECT_EQ(cpu->costs().at("linear").flops, 2.0 * 24 * 40 * 16);
  EXPECT_EQ(cpu->costs().at("linear").bytes, 2.0 * (24 * 16 + 40 * 16 + 24 * 40));
  EXPECT_EQ(cpu->costs().at("adamw").bytes, (4.0 + 2 + 2 * 12) * 40 * 16);
}

TEST(CountingBackend, HandsOutNumbersInsteadOfMemory) {
  const std::unique_ptr<Backend> backend = make_counting_backend();
  const std::size_t huge = std::size_t{1} << 45;
  void* first = backend->allocate(huge);
  void* second = backend->allocate(huge);
  EXPECT_NE(first, second);
  EXPECT_EQ(backend->memory().peak, 2 * huge);
}

}  // namespace
}  // namespace coxswain
