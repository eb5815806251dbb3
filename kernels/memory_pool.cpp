// The pool of memory that every backend shares: blocks by size, kept when they are released.
#include <algorithm>
#include <cstdlib>
#include <new>
#include <stdexcept>

#include "kernels/backend.h"

namespace coxswain {
namespace {

// A request of any size, zero included, is served with whole cache lines.
std::size_t pool_size(std::size_t bytes) { return bytes == 0 ? 64 : (bytes + 63) / 64 * 64; }

}  // namespace

void* Backend::allocate(std::size_t bytes) {
  // The pool hands out again what the other stream may be working on still.
  if (aside_) throw std::logic_error("work that goes on aside takes no memory");
  const std::size_t size = pool_size(bytes);
  Blocks& blocks = (in_recorded_work_ ? recorded_pool_ : pool_)[size];
  if (in_recorded_work_) ++recorded_blocks_;
  void* memory = nullptr;
  if (!blocks.idle.empty()) {
    memory = blocks.idle.back();
    blocks.idle.pop_back();
  } else {
    blocks.idle.reserve(blocks.count + 1);  // so that release never needs memory
    try {
      memory = do_allocate(size);
    } catch (const std::bad_alloc&) {  // blocks of other sizes may be in the way
      release_pool();
      memory = do_allocate(size);
    }
    ++blocks.count;
    memory_.reserved += size;
    memory_.taken_by_kind[static_cast<std::size_t>(kind_)] += size;
  }
  memory_.in_use += size;
  memory_.peak = std::max(memory_.peak, memory_.in_use);
  return memory;
}

void Backend::release(void* memory, std::size_t bytes) noexcept {
  if (memory == nullptr) return;
  downloads_.finish_reading(memory, bytes);
  const std::size_t size = pool_size(bytes);
  (in_recorded_work_ ? recorded_pool_ : pool_)[size].idle.push_back(memory);
  if (in_recorded_work_) --recorded_blocks_;
  memory_.in_use -= size;
}

void Backend::release_blocks(std::size_t size, Blocks& blocks) noexcept {
  for (void* memory : blocks.idle) do_release(memory, size);
  memory_.reserved -= size * blocks.idle.size();
  blocks.count -= blocks.idle.size();
  blocks.idle.clear();
}

void Backend::release_pool() noexcept {
  downloads_.finish();
  for (auto& [size, blocks] : pool_) release_blocks(size, blocks);
}

void Backend::release_idle(std::size_t at_least, std::size_t at_most) {
  for (auto entry = pool_.lower_bound(at_least); entry != pool_.end() && entry->first <= at_most; ++entry)
    release_blocks(entry->first, entry->second);
}

void* Backend::allocate_host(std::size_t bytes) {
  void* memory = std::aligned_alloc(64, pool_size(bytes));
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void Backend::release_host(void* memory) noexcept { std::free(memory); }

}  // namespace coxswain
