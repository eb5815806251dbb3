// Saving and restoring CheckpointState on ranks that are threads, and looking at the result.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint_state.h"
#include "io/checkpoint_store.h"
#include "kernels/backend.h"
#include "thread_world.h"

namespace coxswain {

inline CheckpointHeader header_of(std::int64_t step, std::int64_t best = 0) {
  return {step, step * 1000, "[run]\nsteps = 7\n", "a grid", "test", best};
}

// fill(seed) is saved as step `seed`.
inline void save_state(const std::string& path, int ranks, std::uint64_t seed, int style = 0, int pieces = 1,
                       int keep = 0, std::int64_t best = 0) {
  ThreadWorld::run(ranks, [&](Communicator& world) {
    const auto backend = make_cpu_backend();
    CheckpointStore store(world, *backend, path, {.every = 1, .keep = keep});
    CheckpointState state(ranks, world.rank(), style, pieces);
    state.fill(seed);
    store.save(header_of(static_cast<std::int64_t>(seed), best), state.visitor());
    state.clear(*backend);  // the checkpoint has its own copy
    store.wait();
    store.prune(static_cast<std::int64_t>(seed) + 1);
    store.wait();
  });
}

struct Restored {
  std::optional<std::int64_t> step;
  std::string difference;  // from fill(step)
  std::string said;
};

inline Restored restore_state(const std::string& path, int ranks = 1, int style = 0) {
  Restored result;
  ThreadWorld::run(ranks, [&](Communicator& world) {
    const auto backend = make_cpu_backend();
    CheckpointStore store(world, *backend, path, {});
    std::string said;
    store.set_say([&](const std::string& line) { said += line + '\n'; });
    CheckpointState state(ranks, world.rank(), style);
    state.clear();
    const std::optional<CheckpointHeader> header = store.restore(state.visitor());
    std::string difference;
    if (header) difference = state.difference(static_cast<std::uint64_t>(header->step));
    for (const std::string& other : world.all_gather(difference, "test"))
      if (difference.empty()) difference = other;
    if (world.rank() == 0) {
      result = {std::nullopt, difference, said};
      if (header) result.step = header->step;
    }
  });
  return result;
}

inline std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline std::vector<std::string> names_in(const std::string& path) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace coxswain
