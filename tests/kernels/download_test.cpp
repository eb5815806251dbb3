// Transfers beside other work. Downloads: they see what was asked for before them, and nothing of what comes after.
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "tests/kernels/device_floats.h"

namespace coxswain::testing {

namespace {

// More than two of the pieces that travel at once, and a rest.
constexpr std::int64_t kLong = (std::int64_t{9} << 20) / 4 + 3;

TEST(DownloadAside, SeesWhatWasAskedForBeforeIt) {
  on_one_and_two_threads([](int) {
    const auto backend = make_backend();
    const Floats tensor(*backend, kLong);
    std::vector<float> values(kLong), host(kLong, -1.0F);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 1000);
    backend->upload(values.data(), tensor);
    backend->add(tensor, tensor, tensor);
    backend->download_aside(tensor, host.data(), [](const std::exception_ptr& error) { EXPECT_FALSE(error); });
    backend->fill(tensor, 7);  // waits
    for (float& value : values) value += value;
    EXPECT_EQ(host, values);
  });
}

TEST(DownloadAside, ManyOnesBetweenOtherWork) {
  on_one_and_two_threads([](int) {
    const auto backend = make_backend();
    std::vector<Floats> tensors;
    std::vector<std::vector<float>> hosts(6, std::vector<float>(1001, -1.0F));
    for (std::size_t i = 0; i < hosts.size(); ++i) {
      tensors.emplace_back(*backend, 1001);
      backend->fill(tensors[i], static_cast<double>(i));
      backend->download_aside(tensors[i], hosts[i].data(), [](const std::exception_ptr&) {});
    }
    tensors.clear();
    const Floats other(*backend, 1001);  // memory of one of them
    backend->fill(other, 99);
    backend->finish_downloads();
    for (std::size_t i = 0; i < hosts.size(); ++i)
      EXPECT_EQ(std::count(hosts[i].begin(), hosts[i].end(), static_cast<float>(i)), 1001) << i;
  });
}

// More of them than the ring of pinned memory has pieces, one behind the other while the device is at work, from memory
// that is changed at once.
TEST(Upload, ManySmallOnesKeepWhatTheyWereGiven) {
  on_one_and_two_threads([](int) {
    const auto backend = make_backend();
    std::vector<Floats> tensors;
    std::vector<float> host(1001);
    for (int i = 0; i < 50; ++i) {
      tensors.emplace_back(*backend, 1001);
      std::fill(host.begin(), host.end(), static_cast<float>(i));
      backend->upload(host.data(), tensors.back());
    }
    for (int i = 0; i < 50; ++i) {
      backend->download(tensors[static_cast<std::size_t>(i)], host.data());
      EXPECT_EQ(std::count(host.begin(), host.end(), static_cast<float>(i)), 1001) << i;
    }
  });
}

// What the memory held when each was begun, whatever comes after it.
TEST(BegunDownload, IsThereWhenItHasBeenWaitedFor) {
  const auto backend = make_backend();
  backend->await_downloads();  // none
  std::vector<void*> hosts;
  Floats tensor(*backend, 1001);
  for (int i = 1; i <= 4; ++i) {
    hosts.push_back(backend->allocate_host(1001 * sizeof(float)));
    backend->fill(tensor, i);
    backend->begin_download(tensor, hosts.back());
  }
  backend->fill(tensor, 9);
  backend->await_downloads();
  for (int i = 1; i <= 4; ++i) {
    const auto* values = static_cast<const float*>(hosts[static_cast<std::size_t>(i - 1)]);
    EXPECT_EQ(std::count(values, values + 1001, static_cast<float>(i)), 1001);
  }
  for (void* host : hosts) backend->release_host(host);
}

TEST(DownloadAside, NothingIsNothing) {
  const auto backend = make_backend();
  const Floats tensor(*backend, 0);
  bool done = false;
  backend->download_aside(tensor, nullptr, [&](const std::exception_ptr& error) { done = error == nullptr; });
  backend->finish_downloads();
  EXPECT_TRUE(done);
}

}  // namespace

}  // namespace coxswain::testing
