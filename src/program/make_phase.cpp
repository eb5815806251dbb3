#include "program/make_phase.h"

#include "phases/benchmark.h"
#include "phases/evaluate.h"
#include "phases/generate.h"
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

constexpr const char* kWeightsKey = "[run] initialize_from";

PretrainConfig pretrain_config(const Settings& settings) {
  return {settings.run, settings.model, settings.batch, settings.optimizer, settings.data};
}

template <class ModelPhase>
std::unique_ptr<Phase> with_weights(std::unique_ptr<ModelPhase> phase, const Settings& settings,
                                    const ProcessGrid& grid, Backend& backend, Log& log) {
  const std::string& path = settings.run.initialize_from;
  if (path.empty()) return phase;
  const auto load = [&](Archive& archive) {
    if (settings.run.phase != "reward") require_head(settings.model.head, archive, kWeightsKey, path);
    phase->load_weights(archive);
  };
  const std::string weights =
      load_checkpoint(path, "weights", {grid.world(), backend, log}, load, settings.run.initialize_weights);
  if constexpr (requires { phase->go_on(weights, log); }) phase->go_on(weights, log);
  return phase;
}

std::unique_ptr<Phase> make_reward(const Settings& settings, const ProcessGrid& grid, Backend& backend, Log& log) {
  auto phase =
      std::make_unique<Reward>(RewardPhaseConfig{settings.run, settings.model, settings.batch, settings.optimizer,
                                                 settings.data, settings.chat, settings.reward},
                               grid, backend, log);
  for (const std::string& line : phase->describe()) log.info("{}", line);
  return with_weights(std::move(phase), settings, grid, backend, log);
}

std::unique_ptr<Phase> make_score(const Settings& settings, const ProcessGrid& grid, Backend& backend, Log& log) {
  const ScorePhaseConfig config{settings.run,  settings.model, settings.batch,
                                settings.data, settings.chat,  settings.score};
  return with_weights(std::make_unique<Score>(config, grid, backend, log), settings, grid, backend, log);
}

std::unique_ptr<Phase> make_sft(const Settings& settings, const ProcessGrid& grid, Backend& backend, Log& log) {
  SftPhaseConfig config{.run = settings.run,
                        .model = settings.model,
                        .reward_model = settings.reward_model,
                        .reward_grid = settings.reward_grid,
                        .batch = settings.batch,
                        .optimizer = settings.optimizer,
                        .data = settings.data,
                        .chat = settings.chat,
                        .generate = settings.generate,
                        .sft = settings.sft};
  auto phase = std::make_unique<Sft>(config, grid, backend, log);
  for (const std::string& line : phase->describe()) log.info("{}", line);
  if (settings.sft.choose == BestBy::reward)
    load_checkpoint(settings.sft.reward_model, "reward model", {grid.world(), backend, log}, [&](Archive& archive) {
      require_head(HeadKind::scalar, archive, "[sft] reward_model", settings.sft.reward_model);
      phase->load_reward_model(archive);
    });
  return with_weights(std::move(phase), settings, grid, backend, log);
}

std::unique_ptr<Phase> make_ppo(const Settings& settings, const ProcessGrid& grid, Backend& backend, Log& log) {
  const PpoConfig& ppo = settings.ppo;
  const PpoModelConfig models{settings.model,   settings.reward_model, settings.batch, settings.optimizer, ppo,
                              settings.run.seed};
  auto phase = std::make_unique<Ppo>(
      PpoPhaseConfig{settings.run, models, settings.reward_grid, settings.data, settings.chat, settings.generate}, grid,
      backend, log);
  for (const std::string& line : phase->describe()) log.info("{}", line);
  const LoadContext context{grid.world(), backend, log};
  const auto load = [&](const std::string& path, const char* key, const char* what, HeadKind head, auto member) {
    load_checkpoint(path, what, context, [&](Archive& archive) {
      require_head(head, archive, key, path);
      phase->load(member, archive);
    });
  };
  const std::string& policy = settings.run.initialize_from;
  const std::string& reference = ppo.reference.empty() ? policy : ppo.reference;
  const std::string& value = ppo.value_model.empty() ? ppo.reward_model : ppo.value_model;
  load(policy, kWeightsKey, "policy", HeadKind::language, &PpoModels::load_policy);
  load(reference, "[ppo] reference", "reference", HeadKind::language, &PpoModels::load_reference);
  load(ppo.reward_model, "[ppo] reward_model", "reward model", HeadKind::scalar, &PpoModels::load_reward_model);
  load(value, "[ppo] value_model", "value model", HeadKind::scalar, &PpoModels::load_value_model);
  phase->begin();
  return phase;
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
  if (name == "prepare") {
    const PreparePhaseConfig config{settings.prepare, settings.data, settings.chat, settings.run.seed};
    return std::make_unique<Prepare>(config, grid.world(), log);
  }
  if (name == "benchmark") return std::make_unique<Benchmark>(pretrain_config(settings), grid, backend);
  if (name == "generate") {
    const GeneratePhaseConfig config{settings.run,  settings.generate, settings.model,
                                     settings.data, settings.chat,     settings.batch.length};
    return with_weights(std::make_unique<Generate>(config, grid, backend, log), settings, grid, backend, log);
  }
  if (name == "evaluate") {
    const EvaluatePhaseConfig config{settings.run,          settings.evaluate,    settings.model,
                                     settings.reward_model, settings.reward_grid, settings.batch,
                                     settings.data,         settings.chat,        settings.generate};
    return std::make_unique<Evaluate>(config, grid, backend, log);
  }
  if (name == "reward") return make_reward(settings, grid, backend, log);
  if (name == "score") return make_score(settings, grid, backend, log);
  if (name == "sft") return make_sft(settings, grid, backend, log);
  if (name == "ppo") return make_ppo(settings, grid, backend, log);
  auto pretrain = std::make_unique<Pretrain>(pretrain_config(settings), grid, backend);
  for (const std::string& line : pretrain->describe()) log.info("{}", line);
  return with_weights(std::move(pretrain), settings, grid, backend, log);
}

}  // namespace coxswain
