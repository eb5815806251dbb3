#include "program/make_phase.h"

#include "phases/benchmark.h"
#include "phases/evaluate.h"
#include "phases/generate.h"
#include "phases/generate_benchmark.h"
#include "phases/load_checkpoint.h"
#include "phases/ppo.h"
#include "phases/ppo_benchmark.h"
#include "phases/prepare.h"
#include "phases/pretrain.h"
#include "phases/reward.h"
#include "phases/score.h"
#include "phases/sft.h"
#include "phases/tokenize.h"
#include "phases/vocabulary.h"

namespace coxswain {

namespace {

PretrainConfig pretrain_config(const Settings& settings) {
  return {settings.run, settings.model, settings.batch, settings.optimizer, settings.data};
}

// With what it has found, for the log.
template <class ModelPhase>
std::unique_ptr<Phase> described(std::unique_ptr<ModelPhase> phase, Log& log) {
  for (const std::string& line : phase->describe()) log.info("{}", line);
  return phase;
}

SftPhaseConfig sft_config(const Settings& settings) {
  return {.run = settings.run,
          .model = settings.model,
          .reward_model = settings.reward_model,
          .reward_grid = settings.reward_grid,
          .batch = settings.batch,
          .optimizer = settings.optimizer,
          .data = settings.data,
          .chat = settings.chat,
          .generate = settings.generate,
          .sft = settings.sft};
}

}  // namespace

PpoModelConfig ppo_model_config(const Settings& settings) {
  return {settings.model, settings.reward_model, settings.batch, settings.optimizer, settings.ppo, settings.run.seed};
}

std::unique_ptr<Phase> make_phase(const Settings& settings, const ProcessGrid& grid, Backend& backend, Log& log) {
  const std::string& name = settings.run.phase;
  if (name == "tokenize") return std::make_unique<Tokenize>(settings.data, settings.chat, grid.world());
  if (name == "vocabulary")
    return std::make_unique<Vocabulary>(settings.data, settings.chat, settings.model.vocabulary, grid.world());
  if (name == "benchmark" && settings.run.benchmark == "ppo") {
    const PpoBenchmarkConfig config{ppo_model_config(settings), settings.reward_grid, settings.generate.slots,
                                    settings.generate.max_new_tokens, settings.run.steps};
    return std::make_unique<PpoBenchmark>(config, grid, backend);
  }
  if (name == "benchmark" && settings.run.benchmark == "generate") {
    const GenerateBenchmarkConfig config{settings.generate, settings.model, settings.batch.length, settings.run.seed,
                                         settings.run.steps};
    return std::make_unique<GenerateBenchmark>(config, grid, backend);
  }
  if (name == "prepare") {
    const PreparePhaseConfig config{settings.prepare, settings.data, settings.chat, settings.run.seed};
    return std::make_unique<Prepare>(config, grid.world(), log);
  }
  if (name == "benchmark") return std::make_unique<Benchmark>(pretrain_config(settings), grid, backend, log);
  if (name == "generate") {
    const GeneratePhaseConfig config{settings.run,  settings.generate, settings.model,
                                     settings.data, settings.chat,     settings.batch.length};
    return std::make_unique<Generate>(config, grid, backend, log);
  }
  if (name == "evaluate") {
    const EvaluatePhaseConfig config{settings.run,          settings.evaluate,    settings.model,
                                     settings.reward_model, settings.reward_grid, settings.batch,
                                     settings.data,         settings.chat,        settings.generate};
    return std::make_unique<Evaluate>(config, grid, backend, log);
  }
  if (name == "reward") {
    const RewardPhaseConfig config{settings.run,  settings.model, settings.batch, settings.optimizer,
                                   settings.data, settings.chat,  settings.reward};
    return described(std::make_unique<Reward>(config, grid, backend, log), log);
  }
  if (name == "score") {
    const ScorePhaseConfig config{settings.run,  settings.model, settings.batch,
                                  settings.data, settings.chat,  settings.score};
    return std::make_unique<Score>(config, grid, backend, log);
  }
  if (name == "sft") return described(std::make_unique<Sft>(sft_config(settings), grid, backend, log), log);
  if (name == "ppo") {
    const PpoPhaseConfig config{settings.run,  ppo_model_config(settings), settings.reward_grid, settings.data,
                                settings.chat, settings.generate};
    return described(std::make_unique<Ppo>(config, grid, backend, log), log);
  }
  return described(std::make_unique<Pretrain>(pretrain_config(settings), grid, backend, log), log);
}

}  // namespace coxswain
