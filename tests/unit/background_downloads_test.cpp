// Downloads that go on beside other work: in order, with their errors, and before anything changes what they read.
#include "kernels/background_downloads.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "tensor/tensor.h"

namespace coxswain {

namespace {

// Reads nothing before `go`.
class SlowBackend : public CpuBackend {
 public:
  std::promise<void> go;

 private:
  void do_download_aside(TensorView src, void* host) override {
    go_.wait();
    CpuBackend::do_download_aside(src, host);
  }
  std::shared_future<void> go_ = go.get_future().share();
};

constexpr std::int64_t kCount = 100;

struct Change {
  std::string name;
  std::function<void(Backend&, Tensor&)> work;
};

void adamw(Backend& backend, TensorView gradient, TensorView master, TensorView moment1, TensorView moment2) {
  Tensor scale(backend, DType::f64, {1});
  backend.fill(scale, 1);
  Backend::AdamW op;
  op.scale = scale;
  op.gradient = gradient;
  op.master = master;
  op.moment1 = moment1;
  op.moment2 = moment2;
  op.step.learning_rate = 1;
  backend.adamw(op);
}

std::vector<Change> changes() {
  const auto other = [](Backend& backend, double value) {
    Tensor tensor(backend, DType::f32, {kCount});
    backend.fill(tensor, value);
    return tensor;
  };
  return {
      {"upload", [](Backend& b, Tensor& t) { b.upload(std::vector<float>(kCount, 1).data(), t); }},
      {"fill", [](Backend& b, Tensor& t) { b.fill(t, 1); }},
      {"fill of a part", [](Backend& b, Tensor& t) { b.fill(t.view().slice(0, kCount - 1, 1), 1); }},
      {"copy", [=](Backend& b, Tensor& t) { b.copy(other(b, 1), t); }},
      {"blend", [=](Backend& b, Tensor& t) { b.blend(other(b, 1), 0.5, t); }},
      {"normal",
       [](Backend& b, Tensor& t) {
         Backend::NormalFill op;
         op.deviation = 1;
         op.global_columns = kCount;
         op.dst = t.view().reshape({1, kCount});
         b.normal(op);
       }},
      {"adamw, masters", [=](Backend& b, Tensor& t) { adamw(b, other(b, 1), t, other(b, 0), other(b, 0)); }},
      {"adamw, first moments", [=](Backend& b, Tensor& t) { adamw(b, other(b, 1), other(b, 0), t, other(b, 0)); }},
      {"adamw, second moments", [=](Backend& b, Tensor& t) { adamw(b, other(b, 1), other(b, 0), other(b, 0), t); }},
      {"release", [=](Backend& b, Tensor& t) { t = Tensor(), t = other(b, 1); }},
  };
}

TEST(BackgroundDownloads, WhatChangesTheSourceWaits) {
  for (const Change& change : changes()) {
    SlowBackend backend;
    std::vector<float> host(kCount, -1);
    Tensor tensor(backend, DType::f32, {kCount});
    backend.fill(tensor, 0);
    std::exception_ptr error;
    backend.download_aside(tensor, host.data(), [&](const std::exception_ptr& found) { error = found; });
    auto later = std::async(std::launch::async, [&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      backend.go.set_value();
    });
    change.work(backend, tensor);
    EXPECT_GE(backend.download_wait_seconds(), 0.01) << change.name;
    EXPECT_EQ(std::count(host.begin(), host.end(), 0.0F), kCount) << change.name;
    EXPECT_FALSE(error) << change.name;
  }
}

TEST(BackgroundDownloads, OtherWorkDoesNotWait) {
  SlowBackend backend;
  std::vector<float> host(kCount, -1);
  Tensor tensor(backend, DType::f32, {kCount}), neighbour(backend, DType::f32, {kCount});
  backend.fill(tensor, 3);
  backend.download_aside(tensor, host.data(), [](const std::exception_ptr&) {});
  backend.copy(tensor, neighbour);
  backend.fill(neighbour, 1);  // would wait for ever
  EXPECT_EQ(host[0], -1);
  backend.go.set_value();
  backend.finish_downloads();
  EXPECT_EQ(host[kCount - 1], 3);
}

TEST(BackgroundDownloads, ComeInOrderAndEachHearsOfItsOwnError) {
  std::vector<std::string> heard;
  BackgroundDownloads downloads([](TensorView src, void*) {
    if (src.shape[0] == 2) throw std::runtime_error("two");
  });
  for (std::int64_t i = 1; i <= 3; ++i)
    downloads.add(TensorView(&heard, DType::f32, Shape{i}), nullptr, [&heard, i](const std::exception_ptr& error) {
      heard.push_back(std::to_string(i) + (error ? " failed" : ""));
    });
  downloads.finish();
  EXPECT_EQ(heard, (std::vector<std::string>{"1", "2 failed", "3"}));
}

}  // namespace

}  // namespace coxswain
