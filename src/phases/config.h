// What a run is: which phase, where, how long, and what it says.
#pragma once

#include <cstdint>
#include <string>

namespace coxswain {

enum class WeightsKind { model, average };  // as they are, or their moving average (PPO keeps one)

struct RunConfig {
  std::string phase = "pretrain";
  std::string directory = "run";  // all that the run writes; relative to the working directory
  std::string
      initialize_from;  // weights to start with: a run directory (its best or newest checkpoint) or a checkpoint
  WeightsKind initialize_weights = WeightsKind::model;
  std::string benchmark = "pretrain";  // what phase benchmark measures: pretrain, generate, ppo
  std::int64_t steps = 0;              // of the whole run, restarts included
  std::uint64_t seed = 1;
  double wall_limit_minutes = 0;    // save and stop with code 75 after this time; 0: no limit
  std::int64_t validate_every = 0;  // steps; 0: never
  int validation_batches = 8;       // global batches of held-out data each time
  std::int64_t log_every = 1;       // steps a console line

  void check() const;

  friend bool operator==(const RunConfig&, const RunConfig&) = default;
};

struct GenerateConfig {
  std::string prompt;         // one prompt, continued as it stands, or
  std::string prompts;        // JSONL of prompts in the form of [chat]; another ending: a prompt a line, as it stands
  int synthetic_prompts = 0;  // or so many prompts of random tokens and weights, for benchmarks,
  int synthetic_prompt_tokens = 64;
  std::string output;            // JSONL of the responses; empty: the console
  int samples = 1;               // responses to each prompt
  int slots = 32;                // responses that a data rank works on at once
  bool compress_weights = true;  // see GeneratorConfig
  int max_new_tokens = 128;
  int min_new_tokens = 0;    // before that, no end is drawn
  double temperature = 1.0;  // 0: the likeliest token always
  std::int64_t top_k = 0;    // of the k likeliest tokens only; 0: of all
  double top_p = 1.0;        // of the fewest likeliest tokens that have this probability together
  std::string stop;          // text that ends a response as well

  // Slots of each of so many data ranks that find work, as far as the number of responses is known without the prompts'
  // file.
  int busy_slots(int data_ranks) const;
  void check() const;

  friend bool operator==(const GenerateConfig&, const GenerateConfig&) = default;
};

struct EvaluateConfig {
  std::string prompts;          // JSONL of held-out prompts
  std::string reward_model;     // a checkpoint: the judge
  std::string reference;        // a checkpoint that divergences are measured from
  std::string opponent;         // a checkpoint of the same shape: win rate against it
  std::string curve;            // checkpoints, separated by commas: score against the root of the divergence
  std::string best_of_policy;   // a checkpoint; empty: run.initialize_from
  int best_of = 0;              // responses to each prompt, for best of 1, 4, 16, ... up to this; 0: none
  std::string scores;           // JSONL of scored responses, and
  std::string opponent_scores;  // those that they are compared with
  std::string output;           // JSONL of the responses; empty: none

  friend bool operator==(const EvaluateConfig&, const EvaluateConfig&) = default;
};

}  // namespace coxswain
