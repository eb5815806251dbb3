// The order of everything that CUDA leaves open: threads of a block, blocks of a grid, streams. A seed fixes it.
#pragma once

#include <cstdint>
#include <string>

#include <cuda_runtime.h>

namespace cuda_emulation {

// Random numbers by xorshift64* (Vigna 2016): quick, since every round of every block is shuffled.
class Order {
 public:
  using result_type = std::uint64_t;
  explicit Order(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return ~result_type{0}; }
  result_type operator()() {
    state_ ^= state_ >> 12, state_ ^= state_ << 25, state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1du;
  }

 private:
  std::uint64_t state_;
};

// From COXSWAIN_EMULATION_SEED at first, else 1.
void set_seed(std::uint64_t seed);
std::uint64_t seed();
Order& order();
// A byte of which floats are no numbers (0xff) or huge (0x7f): what memory holds that nobody has written.
unsigned char poison();

// Runs one grid to its end on the calling thread.
struct Grid {
  dim3 blocks, threads;
  std::size_t dynamic_shared_bytes = 0;
  const void* kernel = nullptr;
  const std::function<void()>* thread = nullptr;
};
void run(const Grid& grid);

// Of the thread that runs at present: whether there is one, and its number in the block.
bool runs_a_thread();
unsigned thread_of_block();
// What all lanes of a warp do together: the last to come does `work` on what the 32 lanes hand in.
void do_in_warp(std::uint64_t operands, const char* word, void (*work)(const std::uint64_t* of_lanes));

// ", in kernel NAME, block (..), thread (..)", or empty outside of a kernel.
std::string place_in_kernel();
// Prints the message with the place and ends the process with code 70: a device that has seen an error is lost.
[[noreturn]] void fail(const std::string& message);
// The name of the function at an address, from the symbols of this program.
std::string function_name(const void* address);

}  // namespace cuda_emulation
