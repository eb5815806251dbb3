// Blocks and threads of a kernel as fibers (Boost.Context). A block's threads are resumed in a new random order
// whenever those that can run have run up to a barrier, a word of their warp, or their end, or a warp is let run ahead
// of the others; a grid's blocks run one after another in random order.
#include "tests/emulation/schedule.h"

#include <sys/mman.h>

#include <algorithm>
#include <boost/context/fiber.hpp>
#include <boost/context/stack_context.hpp>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

#include "tests/emulation/copies.h"
#include "tests/emulation/shared_memory.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace cuda_emulation {
namespace {

namespace context = boost::context;

// Stacks, kept for ever. They start at different places of their pages: at equal ones all of them would meet in the
// same sets of the processor's caches (measured: half the speed).
struct Stacks {
  context::stack_context allocate() {
    constexpr std::size_t kBytes = std::size_t{1} << 16, kPage = 4096, kStep = 320;
    static std::size_t count = 0;
    void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, kPage, PROT_NONE) != 0) fail("no memory for the stacks of threads");
    context::stack_context stack;
    stack.size = kBytes - count++ * kStep % kPage;
    stack.sp = static_cast<char*>(memory) + stack.size;
    return stack;
  }
  void deallocate(context::stack_context&) {}
};

enum class State { ready, at_barrier, in_warp, done };

struct Thread {
  context::fiber fiber, scheduler;
  State state = State::done;
  uint3 index;
  unsigned number = 0;      // in the block
  unsigned warp_words = 0;  // that it has said; the parity picks its warp's slots
  const char* word = "";    // at which it waits

  Thread() {
    fiber = context::fiber(std::allocator_arg, Stacks(), [this](context::fiber&& caller) {
      scheduler = std::move(caller);
      run_for_ever();
      return std::move(scheduler);
    });
  }
  void run_for_ever();
};

struct Warp {
  std::uint64_t slots[2][32];
  unsigned present = 0, arrived = 0, gone = 0;  // lanes
  const char* word = "";                        // at which those that have arrived wait
};

struct Block {
  Grid grid;
  std::vector<std::unique_ptr<Thread>> threads;  // kept from kernel to kernel, with their stacks
  std::vector<Warp> warps;
  std::vector<unsigned> runnable;
  unsigned count = 0, live = 0, waiting = 0;
  Thread* current = nullptr;
};

Block& block() {
  static auto* const only = std::make_unique<Block>().release();  // never destroyed: its fibers have no end
  return *only;
}

void Thread::run_for_ever() {
  for (;;) {
    (*block().grid.thread)();
    state = State::done;
    scheduler = std::move(scheduler).resume();
  }
}

void yield(State state, const char* word) {
  Thread& thread = *block().current;
  thread.state = state;
  thread.word = word;
  thread.scheduler = std::move(thread.scheduler).resume();
}

std::string text(const uint3& index) {
  return "(" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " + std::to_string(index.z) + ")";
}

void release_barrier_if_full() {
  Block& all = block();
  if (all.waiting < all.live || all.live == 0) return;
  for (unsigned i = 0; i < all.count; ++i)
    if (all.threads[i]->state == State::at_barrier) all.threads[i]->state = State::ready;
  all.waiting = 0;
  shared_memory_passes_barrier();
}

void leave(Thread& thread) {
  Block& all = block();
  Warp& warp = all.warps[thread.number / 32];
  warp.gone |= 1u << thread.number % 32;
  if (warp.arrived != 0) fail("the thread ends while others of its warp wait for it");
  end_copies(thread.number);
  --all.live;
  release_barrier_if_full();
}

[[noreturn]] void report_deadlock() {
  Block& all = block();
  std::string message = "no thread can go on";
  std::string last;
  for (unsigned i = 0; i < all.count; ++i) {
    const Thread& thread = *all.threads[i];
    if (thread.state == State::done || last == thread.word) continue;
    last = thread.word;
    message += "; thread " + text(thread.index) + " waits at " + last;
  }
  fail(message);
}

void resume(Thread& thread) {
  block().current = &thread;
  threadIdx = thread.index;
  thread.fiber = std::move(thread.fiber).resume();
  if (thread.state == State::done) leave(thread);
  block().current = nullptr;
}

void start_block() {
  Block& all = block();
  all.live = all.count, all.waiting = 0;
  all.warps.assign((all.count + 31) / 32, Warp());
  for (unsigned i = 0; i < all.count; ++i) {
    Thread& thread = *all.threads[i];
    thread.number = i;
    thread.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
    thread.state = State::ready;
    thread.warp_words = 0;
    all.warps[i / 32].present |= 1u << i % 32;
  }
}

// The threads of [first, last) that can go on.
void collect_runnable(unsigned first, unsigned last) {
  Block& all = block();
  all.runnable.clear();
  for (unsigned i = first; i < std::min(last, all.count); ++i)
    if (all.threads[i]->state == State::ready) all.runnable.push_back(i);
}

// Some blocks let all threads go on in turn; in the others one warp goes as far ahead as it can before the next does.
void run_block() {
  Block& all = block();
  start_block();
  shared_memory_of_next_block(all.grid.dynamic_shared_bytes);
  const bool runs_ahead = order()() % 2 == 0;
  unsigned leader = 0;  // the first thread of the warp that is ahead
  while (all.live > 0) {
    if (runs_ahead) collect_runnable(leader, leader + 32);
    if (!runs_ahead || all.runnable.empty()) {
      collect_runnable(0, all.count);
      if (all.runnable.empty()) report_deadlock();
      leader = all.runnable[order()() % all.runnable.size()] / 32 * 32;
      if (runs_ahead) continue;
    }
    std::shuffle(all.runnable.begin(), all.runnable.end(), order());
    for (const unsigned i : all.runnable) resume(*all.threads[i]);
  }
}

std::uint64_t first_seed() {
  const char* text = std::getenv("COXSWAIN_EMULATION_SEED");
  return text ? std::strtoull(text, nullptr, 10) : 1;
}
std::uint64_t& current_seed() {
  static std::uint64_t value = first_seed();
  return value;
}

}  // namespace

void set_seed(std::uint64_t seed) {
  current_seed() = seed;
  order() = Order(seed);
}
std::uint64_t seed() { return current_seed(); }
Order& order() {
  static Order numbers(current_seed());
  return numbers;
}
unsigned char poison() { return current_seed() % 2 == 1 ? 0xff : 0x7f; }

void run(const Grid& grid) {
  Block& all = block();
  all.grid = grid;
  all.count = grid.threads.x * grid.threads.y * grid.threads.z;
  while (all.threads.size() < all.count) all.threads.push_back(std::make_unique<Thread>());
  blockDim = grid.threads;
  gridDim = grid.blocks;
  std::vector<std::uint64_t> blocks(std::uint64_t{grid.blocks.x} * grid.blocks.y * grid.blocks.z);
  std::iota(blocks.begin(), blocks.end(), 0);
  std::shuffle(blocks.begin(), blocks.end(), order());
  for (const std::uint64_t number : blocks) {
    const auto part = [](std::uint64_t value) { return static_cast<unsigned>(value); };
    blockIdx = {part(number % gridDim.x), part(number / gridDim.x % gridDim.y), part(number / gridDim.x / gridDim.y)};
    run_block();
  }
  all.grid.kernel = nullptr;
}

void block_barrier() {
  Block& all = block();
  all.current->state = State::at_barrier;
  ++all.waiting;
  release_barrier_if_full();
  if (all.current->state == State::at_barrier) yield(State::at_barrier, "__syncthreads");
  let_copies_land(all.current->number);
}

namespace {

// Hands in a value and waits for the warp; the last to come calls last(values).
template <class Last>
const std::uint64_t* meet_warp(std::uint64_t value, const char* word, const Last& last) {
  Block& all = block();
  Thread& thread = *all.current;
  Warp& warp = all.warps[thread.number / 32];
  if (warp.gone != 0) fail(std::string(word) + " waits for a thread of its warp that has ended");
  if (warp.arrived != 0 && warp.word != word && std::strcmp(warp.word, word) != 0)
    fail(std::string(word) + " while a thread of its warp waits at " + warp.word);
  warp.word = word;
  std::uint64_t* slots = warp.slots[thread.warp_words++ % 2];
  slots[thread.number % 32] = value;
  warp.arrived |= 1u << thread.number % 32;
  if (warp.arrived != warp.present) {
    yield(State::in_warp, word);
  } else {
    last(slots);
    warp.arrived = 0;
    const unsigned first = thread.number / 32 * 32;
    for (unsigned i = first; i < std::min(first + 32, all.count); ++i) all.threads[i]->state = State::ready;
  }
  return slots;
}

}  // namespace

const std::uint64_t* gather_from_warp(unsigned mask, std::uint64_t value, const char* word) {
  if (mask != ~0u) fail(std::string(word) + " with a mask of part of the warp is not emulated");
  return meet_warp(value, word, [](const std::uint64_t*) {});
}

void do_in_warp(std::uint64_t operands, const char* word, void (*work)(const std::uint64_t*)) {
  if (block().warps[thread_of_block() / 32].present != ~0u) fail(std::string(word) + " in a warp that is not whole");
  meet_warp(operands, word, work);
}

unsigned thread_of_block() { return block().current->number; }

void trap() { fail("__trap"); }

bool runs_a_thread() { return block().current != nullptr; }

std::string place_in_kernel() {
  const Block& all = block();
  if (all.grid.kernel == nullptr) return "";
  std::string place = ", in kernel " + function_name(all.grid.kernel) + ", block " + text(blockIdx);
  if (all.current) place += ", thread " + text(threadIdx);
  return place;
}

}  // namespace cuda_emulation
