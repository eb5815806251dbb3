// Equal items of work that threads share, in runs: each thread its own share first, in order, and then what others have
// left of theirs. Runs shorten towards the end of a share, so that threads end together although one may be slower than
// another (cores do not get the same part of the memory's rate at every moment).
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

namespace coxswain {

class Turns {
 public:
  struct Run {
    std::int64_t first = 0, count = 0;
  };

  // `longest`: the most items in a run.
  Turns(std::int64_t items, int threads, std::int64_t longest) : shares_(threads), longest_(longest) {
    for (int t = 0; t < threads; ++t) {
      shares_[t].next = items * t / threads;
      shares_[t].last = items * (t + 1) / threads;
    }
  }

  // The next run of this thread (in [0, threads)); with count 0 when nothing is left.
  Run take(int thread) {
    const int threads = static_cast<int>(shares_.size());
    for (int i = 0; i < threads; ++i) {
      Share& share = shares_[(thread + i) % threads];
      std::int64_t first = share.next.load(std::memory_order_relaxed);
      while (first < share.last) {
        const std::int64_t count = std::clamp<std::int64_t>((share.last - first) / 4, 1, longest_);
        if (share.next.compare_exchange_weak(first, first + count, std::memory_order_relaxed)) return {first, count};
      }
    }
    return {};
  }

 private:
  struct alignas(64) Share {  // a line each: taking from one's own disturbs nobody
    std::atomic<std::int64_t> next = 0;
    std::int64_t last = 0;
  };
  std::vector<Share> shares_;
  std::int64_t longest_;
};

}  // namespace coxswain
