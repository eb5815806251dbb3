// What a run is: which phase, where, how long, and what it says.
#pragma once

#include <cstdint>
#include <string>

namespace coxswain {

struct RunConfig {
  std::string phase = "pretrain";
  std::string directory = "run";  // all that the run writes; relative to the working directory
  std::string
      initialize_from;     // weights to start with: a run directory (its best or newest checkpoint) or a checkpoint
  std::int64_t steps = 0;  // of the whole run, restarts included
  std::uint64_t seed = 1;
  double wall_limit_minutes = 0;    // save and stop with code 75 after this time; 0: no limit
  std::int64_t validate_every = 0;  // steps; 0: never
  int validation_batches = 8;       // global batches of held-out data each time
  std::int64_t log_every = 1;       // steps a console line

  void check() const;

  friend bool operator==(const RunConfig&, const RunConfig&) = default;
};

struct GenerateConfig {
  std::string prompt;   // one prompt, or
  std::string prompts;  // a file with one prompt a line
  std::string output;   // file for the responses; empty: the console
  int slots = 32;       // responses that a data rank works on at once
  int max_new_tokens = 128;
  int min_new_tokens = 0;    // before that, no end is drawn
  double temperature = 1.0;  // 0: the likeliest token always

  void check() const;

  friend bool operator==(const GenerateConfig&, const GenerateConfig&) = default;
};

}  // namespace coxswain
