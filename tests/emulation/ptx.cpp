// Products on tensor cores, their fragments, and asynchronous copies, as the PTX ISA describes them.
//
// A warp's last lane to arrive does the work of all. Sums are FP32 in the order of k; what a tensor core rounds inside
// of a product is not documented. A copy that was asked for makes its place unreadable and lands at once, while the
// thread waits at a barrier, or when it is waited for: chance decides.
#include <ptx_twin.h>

#include <bit>
#include <cstring>
#include <deque>
#include <map>
#include <string>

#include "tests/emulation/copies.h"
#include "tests/emulation/device_memory.h"
#include "tests/emulation/schedule.h"
#include "tests/emulation/shared_memory.h"

namespace cuda_emulation {
namespace {

constexpr int kLanes = 32, kCopyBytes = 16;

float low(std::uint32_t pair) { return std::bit_cast<float>(pair << 16); }
float high(std::uint32_t pair) { return std::bit_cast<float>(pair & 0xffff0000u); }

struct Product {
  float* c;
  const std::uint32_t* a;
  std::uint32_t b[2];
};

void multiply(const std::uint64_t* lanes) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < kLanes; ++lane) {
    const auto& operands = *reinterpret_cast<const Product*>(lanes[lane]);
    const int group = lane / 4, pair = lane % 4 * 2;
    for (int part = 0; part < 4; ++part) {
      const int row = group + part % 2 * 8, column = pair + part / 2 * 8;
      a[row][column] = low(operands.a[part]);
      a[row][column + 1] = high(operands.a[part]);
    }
    for (int part = 0; part < 2; ++part) {
      b[pair + part * 8][group] = low(operands.b[part]);
      b[pair + part * 8 + 1][group] = high(operands.b[part]);
    }
  }
  float c[16][8] = {};
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < 16; ++k)
      for (int column = 0; column < 8; ++column) c[row][column] += a[row][k] * b[k][column];
  for (int lane = 0; lane < kLanes; ++lane) {
    float* results = reinterpret_cast<const Product*>(lanes[lane])->c;
    for (int i = 0; i < 4; ++i) results[i] += c[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
  }
}

struct MatrixLoad {
  std::uint32_t* parts;
  const void* row;
};

template <bool transposed>
void load(const std::uint64_t* lanes) {
  for (int matrix = 0; matrix < 4; ++matrix) {
    std::uint16_t elements[8][8];
    for (int row = 0; row < 8; ++row)
      std::memcpy(elements[row], reinterpret_cast<const MatrixLoad*>(lanes[matrix * 8 + row])->row, 16);
    for (int lane = 0; lane < kLanes; ++lane) {
      const int group = lane / 4, pair = lane % 4 * 2;
      const std::uint32_t first = transposed ? elements[pair][group] : elements[group][pair],
                          second = transposed ? elements[pair + 1][group] : elements[group][pair + 1];
      reinterpret_cast<const MatrixLoad*>(lanes[lane])->parts[matrix] = first | second << 16;
    }
  }
}

void require_shared(const void* address, const char* what) {
  require_aligned(address, kCopyBytes, what);
  if (!is_shared_memory(address, kCopyBytes)) fail(std::string(what) + " that is not inside shared memory");
}

struct Copy {
  char* to;
  const void* from;
  bool present;
  std::uint64_t group;  // the thread's groups are numbered from 0
};
struct Copies {
  std::deque<Copy> pending;  // oldest first
  std::uint64_t group = 0;   // that is being filled
};
std::map<unsigned, Copies> all_copies;  // by thread of the block

void land(const Copy& copy) {
  if (copy.present) {
    std::memcpy(copy.to, copy.from, kCopyBytes);
  } else {
    constexpr char kZeros[kCopyBytes] = {};  // copied, not set: watch.cpp is told of copies
    std::memcpy(copy.to, kZeros, kCopyBytes);
  }
}

}  // namespace

void require_aligned(const void* address, std::size_t bytes, const char* what) {
  const std::uintptr_t past = reinterpret_cast<std::uintptr_t>(address) % bytes;
  if (past != 0)
    fail(std::string(what) + " at an address that lies " + std::to_string(past) + " bytes past its alignment");
}

void mma(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  Product operands{c, a, {b0, b1}};
  do_in_warp(reinterpret_cast<std::uintptr_t>(&operands), "mma", multiply);
}

void load_matrices(std::uint32_t (&parts)[4], const void* row, bool transposed) {
  require_shared(row, "ldmatrix: a row");
  MatrixLoad operands{parts, row};
  do_in_warp(reinterpret_cast<std::uintptr_t>(&operands), transposed ? "ldmatrix.trans" : "ldmatrix",
             transposed ? load<true> : load<false>);
}

void copy_async(void* to_shared, const void* from, bool present) {
  require_shared(to_shared, "cp.async: the place");
  require_aligned(from, kCopyBytes, "cp.async: the source");
  if (present && !holds(from, kCopyBytes))
    fail("access out of bounds: cp.async reads what is not inside one allocation");
  Copies& copies = all_copies[thread_of_block()];
  const Copy copy{static_cast<char*>(to_shared), from, present, copies.group};
  std::memset(copy.to, poison(), kCopyBytes);
  if (order()() % 4 == 0) {
    land(copy);
  } else {
    copies.pending.push_back(copy);
  }
}

void commit_copies() { ++all_copies[thread_of_block()].group; }

void wait_for_copies(int pending) {
  Copies& copies = all_copies[thread_of_block()];
  while (!copies.pending.empty() && copies.pending.front().group + static_cast<std::uint64_t>(pending) < copies.group) {
    land(copies.pending.front());
    copies.pending.pop_front();
  }
}

void let_copies_land(unsigned thread) {
  const auto found = all_copies.find(thread);
  if (found == all_copies.end()) return;
  std::deque<Copy> later;
  for (const Copy& copy : found->second.pending) {
    if (order()() % 4 == 0) {
      land(copy);
    } else {
      later.push_back(copy);
    }
  }
  found->second.pending = later;
}

void end_copies(unsigned thread) {
  const auto found = all_copies.find(thread);
  if (found == all_copies.end()) return;
  if (!found->second.pending.empty()) fail("the thread ends with a cp.async that it has not waited for");
  found->second.group = 0;
}

}  // namespace cuda_emulation
