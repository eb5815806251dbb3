// Work that a device repeats: the same operations on what memory holds now, in memory that is nobody else's meanwhile.
#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/recording.h"
#include "tests/kernels/tested_backend.h"

namespace coxswain::testing {

namespace {

std::unique_ptr<Backend> make_backend() {
#ifdef COXSWAIN_TESTS_ON_CUDA
  return make_cuda_backend(0);  // without a mirror, which moves memory in every operation
#else
  return make_cpu_backend();
#endif
}

constexpr std::int64_t kCount = 1001;

class Floats {
 public:
  Floats(Backend& backend, double value)
      : backend_(&backend), view_(backend.allocate(kCount * 4), DType::f32, Shape{kCount}) {
    backend.fill(view_, value);
  }
  Floats(Floats&& other) noexcept : backend_(other.backend_), view_(std::exchange(other.view_, TensorView())) {}
  ~Floats() { backend_->release(view_.data, view_.bytes()); }
  operator TensorView() const { return view_; }
  float value() const {
    std::vector<float> host(kCount);
    backend_->download(view_, host.data());
    EXPECT_EQ(std::count(host.begin(), host.end(), host[0]), kCount);
    return host[0];
  }

 private:
  Backend* backend_;
  TensorView view_;
};

// y = 3 x, by way of memory of its own.
struct Tripling {
  Backend& backend;
  TensorView x, y;
  int calls = 0;
  void operator()() {
    ++calls;
    const Floats twice(backend, 0);
    backend.add(x, x, twice);
    backend.add(twice, x, y);
  }
};

TEST(Recording, RepeatsTheOperationsAndNotTheCall) {
  on_one_and_two_threads([](int) {
    const auto backend = make_backend();
    const Floats x(*backend, 0), y(*backend, 0);
    Tripling work{*backend, x, y};
    Recording recording;
    backend->reset_costs();
    for (int i = 1; i <= 6; ++i) {
      backend->fill(x, i);
      backend->record(recording, [&] { work(); });
      EXPECT_EQ(y.value(), 3.0f * static_cast<float>(i));
    }
    EXPECT_EQ(work.calls, backend->records() ? 2 : 6);
    EXPECT_EQ(backend->costs().at("add").calls, 12) << "what is repeated counts";
  });
}

// Between two repetitions the pool hands everything out that the work had given back.
TEST(Recording, ItsMemoryIsNobodyElses) {
  const auto backend = make_backend();
  const Floats x(*backend, 1), y(*backend, 0);
  Tripling work{*backend, x, y};
  Recording first, second;
  for (int i = 0; i < 3; ++i) backend->record(first, [&] { work(); });
  std::vector<Floats> others;
  for (int i = 0; i < 8; ++i) others.emplace_back(*backend, 100 + i);
  for (int i = 0; i < 3; ++i) backend->record(second, [&] { work(); });
  backend->fill(x, 2);
  backend->record(first, [&] { work(); });
  EXPECT_EQ(y.value(), 6);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(others[static_cast<std::size_t>(i)].value(), static_cast<float>(100 + i));
}

TEST(Recording, ItsMemoryComesBackWithTheLastOne) {
  const auto backend = make_backend();
  const Floats x(*backend, 1), y(*backend, 0);
  Tripling work{*backend, x, y};
  for (int i = 0; i < 3; ++i) {
    Recording recording;
    backend->record(recording, [&] { work(); });
    backend->record(recording, [&] { work(); });
  }
  const std::size_t reserved = backend->memory().reserved;
  const Floats more(*backend, 1);
  EXPECT_EQ(backend->memory().reserved, reserved);
}

// What the host does in the middle is done again each time, between what comes before and after it.
TEST(Recording, WhatIsApartIsCalledEachTime) {
  on_one_and_two_threads([](int) {
    const auto backend = make_backend();
    const Floats x(*backend, 1), y(*backend, 0);
    std::vector<float> host(kCount);
    int apart = 0;
    Recording recording;
    for (int i = 1; i <= 5; ++i) {
      backend->record(recording, [&] {
        const Floats held(*backend, 0);
        backend->add(x, x, held);
        backend->apart([&backend, &apart, &host, there = TensorView(held)] {  // takes a detour
          const Floats other(*backend, 99);
          backend->download(there, host.data());
          for (float& value : host) value += 1;
          backend->upload(host.data(), there);
          ++apart;
        });
        backend->add(held, x, y);
      });
      EXPECT_EQ(apart, i);
      EXPECT_EQ(y.value(), 4);
    }
  });
}

// A checkpoint downloads in a thread of its own.
TEST(Recording, IsNotDisturbedByOtherThreads) {
  const auto backend = make_backend(), other = make_backend();
  const Floats x(*backend, 1), y(*backend, 0);
  Tripling work{*backend, x, y};
  Recording recording;
  for (int i = 0; i < 3; ++i)
    backend->record(recording, [&] {
      std::thread([&other, i] { other->release(other->allocate(1000 << i), 1000 << i); }).join();
      work();
    });
  EXPECT_EQ(y.value(), 3);
}

TEST(Recording, IsCutIntoOperationsWhereTheyAreTimed) {
  const auto backend = make_backend();
  const Floats x(*backend, 1), y(*backend, 0);
  Tripling work{*backend, x, y};
  Recording recording;
  for (int i = 0; i < 3; ++i) backend->record(recording, [&] { work(); });
  backend->set_timing(true);
  backend->reset_costs();
  const int before = work.calls;
  backend->record(recording, [&] { work(); });
  EXPECT_EQ(work.calls, before + 1);
  EXPECT_GT(backend->costs().at("add").seconds, 0);
}

TEST(Recording, MistakesAreErrors) {
  const auto backend = make_backend();
  if (!backend->records()) GTEST_SKIP() << "this backend does not record";
  const Floats x(*backend, 1);
  std::vector<float> host(kCount);
  const auto record = [&](const std::function<void()>& work) {
    Recording recording;
    backend->record(recording, work);
  };
  EXPECT_THROW(record([&] { backend->upload(host.data(), x); }), std::logic_error);
  EXPECT_THROW(record([&] { backend->download(x, host.data()); }), std::logic_error);
  void* kept = nullptr;
  EXPECT_THROW(record([&] { kept = backend->allocate(64); }), std::logic_error);
  backend->release(kept, 64);
  EXPECT_EQ(x.value(), 1) << "it works again";
  // Found only when it is kept.
  Recording recording;
  backend->record(recording, [&] { backend->fill(x, 3); });
  EXPECT_THROW(backend->record(recording, [&] { backend->synchronize(); }), std::runtime_error);
  EXPECT_EQ(x.value(), 3) << "it works again";
}

}  // namespace

}  // namespace coxswain::testing
