// Uploads: after what was asked for before them, seen by what is asked for after them, from memory that may change at
// once; and those beside other work.
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/aside.h"
#include "tests/kernels/device_floats.h"

namespace coxswain::testing {
namespace {

class PinnedFloats {
 public:
  PinnedFloats(Backend& backend, std::int64_t count, float value)
      : backend_(backend), data_(static_cast<float*>(backend.allocate_host(static_cast<std::size_t>(count) * 4))) {
    std::fill_n(data_, count, value);
  }
  ~PinnedFloats() { backend_.release_host(data_); }
  PinnedFloats(const PinnedFloats&) = delete;
  const float* data() const { return data_; }

 private:
  Backend& backend_;
  float* data_;
};

std::vector<float> counted(std::int64_t count, int start) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>((i + static_cast<std::size_t>(start)) % 1021);
  return values;
}

// More than two of the pieces that travel at once, and a rest; and many short ones, more than these hold.
TEST(Upload, MayChangeItsSourceAtOnce) {
  on_one_and_two_threads([](int) {
    const auto backend = make_backend();
    for (const std::int64_t count : {(std::int64_t{9} << 20) / 4 + 3, std::int64_t{700'001}, std::int64_t{1}}) {
      std::vector<Floats> tensors;
      for (int i = 0; i < 5; ++i) {
        std::vector<float> host = counted(count, i);
        tensors.emplace_back(*backend, count);
        backend->upload(host.data(), tensors.back());
        std::fill(host.begin(), host.end(), -1.0F);
        backend->add(tensors.back(), tensors.back(), tensors.back());
      }
      for (int i = 0; i < 5; ++i) {
        std::vector<float> expected = counted(count, i);
        for (float& value : expected) value += value;
        EXPECT_EQ(tensors[static_cast<std::size_t>(i)].values(), expected) << count << " values, number " << i;
      }
    }
  });
}

constexpr std::int64_t kCount = 5003;

TEST(BeginUpload, ComesAfterWhatStillReadsTheMemory) {
  for (int order = 0; order < 6; ++order)
    on_one_and_two_threads([](int) {
      const auto backend = make_backend();
      const PinnedFloats source(*backend, kCount, 3.0F);
      const Floats sum(*backend, kCount);
      {
        const Floats before(*backend, kCount);
        backend->fill(before, 5);
        backend->add(before, before, sum);
      }
      const Floats tensor(*backend, kCount);  // its memory
      backend->begin_upload(source.data(), tensor);
      backend->finish_uploads();
      EXPECT_EQ(sum.values(), std::vector<float>(kCount, 10.0F));
      EXPECT_EQ(tensor.values(), std::vector<float>(kCount, 3.0F));
    });
}

TEST(BeginUpload, IsSeenAfterItIsFinished) {
  for (int order = 0; order < 6; ++order)
    on_one_and_two_threads([](int) {
      const auto backend = make_backend();
      const PinnedFloats first(*backend, kCount, 3.0F), second(*backend, kCount, 4.0F);
      const Floats a(*backend, kCount), b(*backend, kCount), other(*backend, kCount);
      backend->begin_upload(first.data(), a);
      backend->fill(other, 1);
      backend->begin_upload(second.data(), b);
      backend->add(other, other, other);
      backend->finish_uploads();
      backend->add(a, b, a);
      EXPECT_EQ(a.values(), std::vector<float>(kCount, 7.0F));
      EXPECT_EQ(other.values(), std::vector<float>(kCount, 2.0F));
    });
}

TEST(BeginUpload, KeepsItsSourceUntilItIsRead) {
  const auto backend = make_backend();
  const Floats tensor(*backend, kCount);
  {
    const PinnedFloats source(*backend, kCount, 3.0F);
    backend->begin_upload(source.data(), tensor);
  }
  backend->finish_uploads();
  EXPECT_EQ(tensor.values(), std::vector<float>(kCount, 3.0F));
}

// Work aside (kernels/aside.h), for which a mirror would wait after each operation.
TEST(WorkAside, ComesAfterWhatWasAskedForAndBeforeWhatFollowsTheJoin) {
  for (int order = 0; order < 12; ++order) {
    const auto backend = make_backend();
    const Floats a(*backend, kCount), sum(*backend, kCount), beside(*backend, kCount);
    backend->fill(a, 1);
    backend->fill(sum, 0);
    backend->fill(beside, 2);
    backend->add(a, a, a);
    {
      const Aside aside(*backend);
      backend->add(a, a, sum);
      backend->add(sum, a, sum);
    }
    backend->add(beside, beside, beside);
    backend->join_aside();
    backend->add(sum, beside, sum);
    EXPECT_EQ(sum.values(), std::vector<float>(kCount, 10.0F));
    EXPECT_EQ(beside.values(), std::vector<float>(kCount, 4.0F));
  }
}

// Aside and beside it in turn, through the same pieces of memory, more than these hold.
TEST(WorkAside, SeesWhatIsUploadedAside) {
  constexpr std::int64_t kMany = (std::int64_t{3} << 20) / 4 + 5;
  for (int order = 0; order < 6; ++order) {
    const auto backend = make_backend();
    std::vector<Floats> beside, aside;
    for (int i = 0; i < 5; ++i) {
      beside.emplace_back(*backend, kMany);
      aside.emplace_back(*backend, kMany);
      backend->fill(aside.back(), -1);
    }
    for (int i = 0; i < 5; ++i) {
      const auto place = static_cast<std::size_t>(i);
      backend->upload(counted(kMany, i).data(), beside[place]);
      {
        const Aside scope(*backend);
        backend->upload(counted(kMany, 10 + i).data(), aside[place]);
        backend->add(aside[place], aside[place], aside[place]);
      }
      backend->add(beside[place], beside[place], beside[place]);
    }
    backend->join_aside();
    for (int i = 0; i < 5; ++i)
      for (const auto& [tensors, start] : {std::pair(&beside, i), std::pair(&aside, 10 + i)}) {
        std::vector<float> expected = counted(kMany, start);
        for (float& value : expected) value += value;
        EXPECT_EQ((*tensors)[static_cast<std::size_t>(i)].values(), expected) << "number " << i << " from " << start;
      }
  }
}

}  // namespace
}  // namespace coxswain::testing
