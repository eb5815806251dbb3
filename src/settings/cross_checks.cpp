#include "settings/cross_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <numeric>

#include "base/deck.h"
#include "settings/deck_files.h"

namespace coxswain {

namespace {

using Mistakes = std::vector<std::string>;

// A model and its grid, by the names of their sections.
struct Placed {
  const ModelConfig& model;
  const GridConfig& grid;
  const char *model_section, *grid_section;
};

// The key that the user wrote: shard counts default to the grid's own counts.
std::string shard_key(const Deck& deck, const char* section, const char* shards, const char* ranks) {
  const DeckEntry* entry = deck.find(fmt::format("{}.{}", section, shards));
  return fmt::format("[{}] {}", section, entry != nullptr && entry->value != "0" ? shards : ranks);
}

// The multiples of `unit` beside a number of sequences, as far as a step may have them: "6 or 12".
std::string multiples_beside(int number, std::int64_t unit) {
  const std::int64_t below = number / unit * unit, above = below + unit;
  const bool fits = above <= kMostSequences;
  if (below > 0) return fits ? fmt::format("{} or {}", below, above) : fmt::format("{}", below);
  return fits ? fmt::format("{}", above) : "a smaller [batch] micro";
}

void check_tensor_shards(const Placed& placed, const Settings& settings, const Deck& deck, Mistakes& mistakes) {
  const ModelConfig& model = placed.model;
  const int shards = placed.grid.tensor_shards;
  const std::string key = shard_key(deck, placed.grid_section, "tensor_shards", "tensor");
  const int common = std::gcd(std::gcd(model.heads, model.kv_heads), model.feed_forward);
  const std::pair<const char*, int> parts[] = {
      {"heads", model.heads}, {"kv_heads", model.kv_heads}, {"feed_forward", model.feed_forward}};
  for (const auto& [name, count] : parts) {
    if (count % shards == 0) continue;
    mistakes.push_back(fmt::format("{} = {} does not divide [{}] {} = {}; use {}", key, shards, placed.model_section,
                                   name, count, divisor_list(common)));
    return;
  }
  const auto rows = static_cast<std::int64_t>(settings.batch.micro) * settings.batch.length;
  if (rows % shards != 0) {
    mistakes.push_back(fmt::format(
        "[batch] length = {} times [batch] micro = {} is {} rows, which {} = {} does not divide; use a multiple of {}",
        settings.batch.length, settings.batch.micro, rows, key, shards, shards));
  }
}

void check_stages(const Placed& placed, Mistakes& mistakes) {
  const int layers = placed.model.layers, pipeline = placed.grid.pipeline;
  const int virtual_stages = placed.grid.virtual_stages;
  if (pipeline * virtual_stages > layers)
    mistakes.push_back(fmt::format(
        "[{0}] pipeline = {1} times [{0}] virtual_stages = {2} makes {3} stages of [{4}] layers = {5}; use at "
        "most {5} stages",
        placed.grid_section, pipeline, virtual_stages, pipeline * virtual_stages, placed.model_section, layers));
}

void check_data_shards(const Placed& placed, const Settings& settings, const Deck& deck, Mistakes& mistakes) {
  const BatchConfig& batch = settings.batch;
  if (batch.ramp_start > 0 && settings.run.phase == "reward")
    mistakes.push_back(fmt::format("[batch] ramp_start = {}: phase reward has no ramp; use 0", batch.ramp_start));
  const auto unit = static_cast<std::int64_t>(placed.grid.data_shards) * batch.micro;
  const std::string product =
      fmt::format("{} = {} times [batch] micro = {}", shard_key(deck, placed.grid_section, "data_shards", "data"),
                  placed.grid.data_shards, batch.micro);
  if (batch.global % unit != 0)
    mistakes.push_back(fmt::format("[batch] global = {} is not a multiple of {}; use {}", batch.global, product,
                                   multiples_beside(batch.global, unit)));
  if (batch.ramp_start > 0 && batch.ramp_start < unit && unit <= batch.global)
    mistakes.push_back(
        fmt::format("[batch] ramp_start = {} is less than {}; use {} or more", batch.ramp_start, product, unit));
}

// A rank holds a micro-batch's tokens at once, and so does a plan of it.
void check_micro_batch(const Settings& settings, Mistakes& mistakes) {
  constexpr std::int64_t kMostTokens = std::int64_t{1} << 24;
  const BatchConfig& batch = settings.batch;
  const std::int64_t length =
      std::int64_t{batch.length} * (settings.run.phase == "reward" ? settings.reward.responses : 1);
  if (batch.micro <= std::max<std::int64_t>(1, kMostTokens / length)) return;
  mistakes.push_back(fmt::format("[batch] micro = {} makes a micro-batch of more than {} tokens; use {} or less",
                                 batch.micro, kMostTokens, std::max<std::int64_t>(1, kMostTokens / length)));
}

void check_lengths(const Settings& settings, const Deck&, Mistakes& mistakes) {
  const int context = settings.model.context;
  if (settings.run.phase == "generate") {
    const int room = std::min(context, settings.batch.length);
    if (settings.generate.max_new_tokens >= room) {
      mistakes.push_back(fmt::format(
          "[generate] max_new_tokens = {} leaves no room for a prompt in {} = {}; use less than {}",
          settings.generate.max_new_tokens, context <= room ? "[model] context" : "[batch] length", room, room));
    }
  } else if (settings.batch.length > context) {
    mistakes.push_back(fmt::format("[batch] length = {} is longer than [model] context = {}; use {} or less",
                                   settings.batch.length, context, context));
  }
}

using Want = std::function<void(bool given, const char* key, const char* what)>;

void check_vocabulary_given(const Settings& settings, const Want& want) {
  want(!settings.data.input.empty(), "[data] input", "text or JSONL files");
  want(!settings.data.vocabulary_file.empty(), "[data] vocabulary_file", "the file to write");
  want(!settings.data.merges_file.empty(), "[data] merges_file", "the file to write");
  want(settings.data.vocabulary_file != settings.data.merges_file || settings.data.merges_file.empty(),
       "[data] merges_file", "another file than vocabulary_file");
  want(settings.model.vocabulary > 257, "[model] vocabulary", "more than 257: the bytes and the end of a document");
}

void check_evaluate_given(const Settings& settings, const Want& want) {
  const EvaluateConfig& evaluate = settings.evaluate;
  const bool files = !evaluate.scores.empty();
  want(files || !evaluate.prompts.empty() || !settings.data.validation.empty(), "[evaluate] prompts",
       "or [data] validation for a perplexity, or [evaluate] scores");
  want(!has_model(settings) || !settings.run.initialize_from.empty(), "[run] initialize_from",
       "the run directory of the model");
  want(files == !evaluate.opponent_scores.empty(), "[evaluate] opponent_scores", "beside scores, and nowhere else");
  want(evaluate.best_of == 0 || !evaluate.reward_model.empty(), "[evaluate] reward_model", "best_of needs a judge");
  want(evaluate.curve.empty() || (!evaluate.reward_model.empty() && !evaluate.reference.empty()),
       "[evaluate] reward_model and reference", "the curve is a score against a divergence");
}

template <class Want>
void check_reward_given(const Settings& settings, const Want& want) {
  if (settings.run.phase == "reward") {
    const RewardConfig& reward = settings.reward;
    want(!reward.comparisons.empty(), "[reward] comparisons", "JSONL of ranked responses");
    want(settings.run.validate_every == 0 || !reward.validation.empty(), "[reward] validation",
         "[run] validate_every is on");
    want(reward.normalise == Normalise::none || !reward.reference.empty(), "[reward] reference",
         "demonstrations to normalise the scores on; or set [reward] normalise = none");
  }
  if (settings.run.phase == "score") {
    want(!settings.run.initialize_from.empty(), "[run] initialize_from", "the run directory of the reward model");
    want(!settings.score.input.empty(), "[score] input", "JSONL of responses");
    want(!settings.score.output.empty(), "[score] output", "the file for the scores");
  }
}

void check_sft_given(const Settings& settings, const Want& want) {
  const SftConfig& sft = settings.sft;
  const bool by_reward = sft.choose == BestBy::reward;
  want(!sft.demonstrations.empty(), "[sft] demonstrations", "JSONL of prompts with responses");
  want(sft.pretrain_share == 0 || !settings.data.source.empty(), "[data] source",
       "[sft] pretrain_share asks for pre-training text");
  want(sft.choose == BestBy::last || settings.run.validate_every > 0, "[run] validate_every",
       "[sft] choose judges the weights at validations");
  want(settings.run.validate_every == 0 || by_reward || !sft.validation.empty(), "[sft] validation",
       "[run] validate_every is on");
  want(!by_reward || !sft.reward_model.empty(), "[sft] reward_model", "[sft] choose = reward");
  want(!by_reward || !sft.validation_prompts.empty() || !sft.validation.empty(), "[sft] validation_prompts",
       "[sft] choose = reward needs prompts to respond to, here or in validation");
  want(sft.choose == BestBy::last || settings.checkpoint.at_end || settings.checkpoint.every > 0, "[checkpoint] every",
       "or at_end = yes: the best weights that [sft] choose finds must be saved");
}

void check_prepare(const PrepareConfig& prepare, const Want& want) {
  want(!prepare.input.empty(), "[prepare] input", "JSONL files");
  want(!prepare.output.empty(), "[prepare] output", "the JSONL file to write");
  want(prepare.validation_share == 0 || !prepare.validation.empty(), "[prepare] validation",
       "the file that gets validation_share of the users");
  want(prepare.test_share == 0 || !prepare.test.empty(), "[prepare] test",
       "the file that gets test_share of the users");
}

void check_given(const Settings& settings, const Deck&, Mistakes& mistakes) {
  const auto want = [&](bool given, const char* key, const char* what) {
    if (!given)
      mistakes.push_back(fmt::format("{} must be given for [run] phase = {}: {}", key, settings.run.phase, what));
  };
  const std::string& phase = settings.run.phase;
  if (phase == "pretrain" || phase == "benchmark") want(settings.run.steps > 0, "[run] steps", "how long to run");
  if (phase == "benchmark" && settings.run.benchmark == "generate")
    want(settings.generate.synthetic_prompts > 0, "[generate] synthetic_prompts", "how many responses to measure");
  if (phase == "pretrain") want(!settings.data.source.empty(), "[data] source", "a token file, or synthetic");
  if (phase == "tokenize") {
    want(!settings.data.input.empty(), "[data] input", "text or JSONL files");
    want(!settings.data.output.empty(), "[data] output", "the token file to write");
    want(settings.data.validation_share == 0.0 || !settings.data.validation.empty(), "[data] validation",
         "the token file that gets validation_share of the documents");
  }
  if (phase == "vocabulary") check_vocabulary_given(settings, want);
  if (phase == "prepare") check_prepare(settings.prepare, want);
  if (phase == "generate") {
    const bool synthetic = settings.generate.synthetic_prompts > 0;
    want(synthetic || !settings.run.initialize_from.empty(), "[run] initialize_from", "the run directory of the model");
    want(synthetic || !settings.generate.prompt.empty() || !settings.generate.prompts.empty(), "[generate] prompt",
         "text to go on with, or prompts, a file of such texts");
  }
  if (phase == "sft") check_sft_given(settings, want);
  if (phase == "ppo") {
    want(settings.run.steps > 0, "[run] steps", "minibatches to learn from");
    want(!settings.run.initialize_from.empty(), "[run] initialize_from", "the run directory of the fine-tuned model");
    want(!settings.ppo.prompts.empty(), "[ppo] prompts", "JSONL of prompts");
    want(!settings.ppo.reward_model.empty(), "[ppo] reward_model", "the run directory of the reward model");
    want(!settings.ppo.pretrains() || !settings.data.source.empty(), "[data] source",
         "[ppo] pretrain_coefficient asks for pre-training text");
  }
  if (phase == "evaluate") check_evaluate_given(settings, want);
  if (phase == "reward" || phase == "score") check_reward_given(settings, want);
  if (phase == "pretrain" && settings.run.validate_every > 0 && !settings.data.synthetic()) {
    want(!settings.data.validation.empty(), "[data] validation", "validate_every is on");
  }
}

void check_entries(const Settings& settings, Mistakes& mistakes) {
  for (const NamedPath& input : deck_files(settings).inputs) {
    const std::string mistake = fmt::format("{} has an empty entry; use path, path, ...", input.key);
    if (input.path.empty() && (mistakes.empty() || mistakes.back() != mistake)) mistakes.push_back(mistake);
  }
}

void check_minibatch(const Placed& placed, const Settings& settings, const Deck& deck, Mistakes& mistakes) {
  const std::int64_t unit = std::int64_t{placed.grid.data_shards} * settings.batch.micro;
  const int minibatch = settings.ppo.minibatch;
  if (minibatch % unit == 0) return;
  mistakes.push_back(fmt::format("[ppo] minibatch = {} is no multiple of {} = {} times [batch] micro = {}; use {}",
                                 minibatch, shard_key(deck, placed.grid_section, "data_shards", "data"),
                                 placed.grid.data_shards, settings.batch.micro, multiples_beside(minibatch, unit)));
}

Placed reward_model(const Settings& settings) {
  return {settings.reward_model, settings.reward_grid, "reward_model", "reward_grid"};
}

void check_room_for_prompts(const Settings& settings, Mistakes& mistakes) {
  if (settings.generate.max_new_tokens < settings.batch.length) return;
  mistakes.push_back(
      fmt::format("[generate] max_new_tokens = {} leaves no room for a prompt in [batch] length = {}; "
                  "use less than {}",
                  settings.generate.max_new_tokens, settings.batch.length, settings.batch.length));
}

void check_one_sample(const Settings& settings, Mistakes& mistakes) {
  if (settings.generate.samples == 1) return;
  mistakes.push_back(fmt::format("[generate] samples = {}: phase {} looks at one response to a prompt; use 1",
                                 settings.generate.samples, settings.run.phase));
}

// A reward model that looks at responses; its shape may still be in its checkpoint only.
void check_rewarded(const Settings& settings, const Deck& deck, Mistakes& mistakes) {
  if (settings.reward_model.layers > 0) {
    check_tensor_shards(reward_model(settings), settings, deck, mistakes);
    check_stages(reward_model(settings), mistakes);
  }
  check_room_for_prompts(settings, mistakes);
  check_one_sample(settings, mistakes);
}

// The ratio of probabilities and the divergence are those of the whole distribution.
void check_own_distribution(const GenerateConfig& generate, Mistakes& mistakes) {
  const auto require = [&](bool own, const char* key, double value, int whole) {
    if (!own)
      mistakes.push_back(
          fmt::format("[generate] {} = {}: PPO learns from the policy's own distribution; use {}", key, value, whole));
  };
  require(generate.temperature == 1, "temperature", generate.temperature, 1);
  require(generate.top_k == 0, "top_k", static_cast<double>(generate.top_k), 0);
  require(generate.top_p == 1, "top_p", generate.top_p, 1);
  require(generate.min_new_tokens == 0, "min_new_tokens", generate.min_new_tokens, 0);
}

void check_ppo(const Placed& policy, const Settings& settings, const Deck& deck, Mistakes& mistakes) {
  check_minibatch(policy, settings, deck, mistakes);
  if (settings.reward_grid.data_shards != settings.grid.data_shards)
    check_minibatch(reward_model(settings), settings, deck, mistakes);
  check_rewarded(settings, deck, mistakes);
  check_own_distribution(settings.generate, mistakes);
  if (settings.run.validate_every > 0)
    mistakes.push_back(
        fmt::format("[run] validate_every = {}: phase ppo validates nothing; use 0, and phase evaluate on checkpoints",
                    settings.run.validate_every));
}

void check_sft(const Settings& settings, const Deck& deck, Mistakes& mistakes) {
  if (settings.sft.choose == BestBy::reward) check_rewarded(settings, deck, mistakes);
  if (settings.batch.ramp_start > 0)
    mistakes.push_back(
        fmt::format("[batch] ramp_start = {}: [run] phase = sft counts its epochs in steps of one size; "
                    "use 0",
                    settings.batch.ramp_start));
}

// NCCL 2.31 and later can be told to.
void check_sharing(const Settings& settings, Mistakes& mistakes) {
  const bool shared = settings.device.ranks_per_gpu > 1 && settings.communication.transport == Transport::nccl;
  if (!shared || std::getenv("NCCL_MULTI_RANK_GPU_ENABLE") != nullptr) return;
  mistakes.push_back(fmt::format(
      "[device] communication = nccl: NCCL wants a GPU for each rank, and ranks_per_gpu = {}; use staged or "
      "auto, or set NCCL_MULTI_RANK_GPU_ENABLE=1 with NCCL 2.31 or later",
      settings.device.ranks_per_gpu));
}

}  // namespace

std::string divisor_list(int number) {
  constexpr std::size_t kShown = 8;
  std::vector<int> divisors;
  for (int candidate = 1; candidate <= number; ++candidate) {
    if (number % candidate == 0) divisors.push_back(candidate);
  }
  const bool more = divisors.size() > kShown;
  if (more) divisors.resize(kShown);
  return fmt::format("{}{}", fmt::join(divisors, ", "), more ? ", ..." : "");
}

std::vector<std::string> cross_checks(const Settings& settings, const Deck& deck) {
  Mistakes mistakes;
  check_given(settings, deck, mistakes);
  check_entries(settings, mistakes);
  check_sharing(settings, mistakes);
  const PhaseRow& phase = phase_row(settings.run.phase);
  if (!has_model(settings)) return mistakes;
  const Placed policy{settings.model, settings.grid, "model", "grid"};
  check_tensor_shards(policy, settings, deck, mistakes);
  check_stages(policy, mistakes);
  check_lengths(settings, deck, mistakes);
  check_micro_batch(settings, mistakes);
  if (phase.global_batch) check_data_shards(policy, settings, deck, mistakes);
  if (settings.run.phase == "sft") check_sft(settings, deck, mistakes);
  if (settings.run.phase == "ppo") check_ppo(policy, settings, deck, mistakes);
  if (settings.run.phase == "evaluate" && !settings.evaluate.prompts.empty()) {
    check_room_for_prompts(settings, mistakes);
    check_one_sample(settings, mistakes);
  }
  return mistakes;
}

}  // namespace coxswain
