// Keys of the phases that align a model: their data, fine-tuning, reward models, PPO, evaluation.
#include "settings/key_builder.h"
#include "settings/key_groups.h"

namespace coxswain {

namespace {

constexpr auto kFree = OnRestart::free;
constexpr Range kShare{.least = 0, .most = 1};

void add_sft(std::vector<Key>& keys) {
  using C = SftConfig;
  SectionBuilder<C>(keys, "sft", &Settings::sft)
      .text("demonstrations", &C::demonstrations, "paths, ...", {"", "JSONL of prompts with responses to train on"})
      .text("validation", &C::validation, "paths, ..., or empty", {"", "the same, held out", kFree})
      .number("epochs", &C::epochs, kFromOne, {"", "over the demonstrations, where run.steps = 0", kFree})
      .flag("packing", &C::packing,
            {"", "several demonstrations in a sequence, each seeing itself alone; no: one a sequence"})
      .number("pretrain_share", &C::pretrain_share, {.least = 0, .most = 0.5},
              {"", "of sequences and of the loss that is pre-training text, from data.source"})
      .choice("choose", &C::choose, {{"last", BestBy::last}, {"loss", BestBy::loss}, {"reward", BestBy::reward}},
              {"", "the run's best weights: the last, or at validations by loss or by a reward model's score"})
      .text("reward_model", &C::reward_model, "a folder",
            {"", "choose = reward: run directory or checkpoint of phase reward", kFree})
      .text(
          "validation_prompts", &C::validation_prompts, "paths, ..., or empty",
          {"", "choose = reward: JSONL of prompts to respond to as [generate] says; empty: those of validation", kFree})
      .number("scored_prompts", &C::scored_prompts, kNotNegative,
              {"prompts", "of validation_prompts, the first ones; 0: all", kFree});
}

void add_ppo_sources(std::vector<Key>& keys) {
  using C = PpoConfig;
  SectionBuilder<C>(keys, "ppo", &Settings::ppo)
      .text("prompts", &C::prompts, "paths, ...", {"", "JSONL of prompts to learn from"})
      .text("reward_model", &C::reward_model, "a folder", {"", "run directory or checkpoint of phase reward", kFree})
      .text("value_model", &C::value_model, "a folder, or empty",
            {"", "what the value model begins as; empty: the reward model", kFree})
      .text("reference", &C::reference, "a folder, or empty",
            {"", "what the policy must stay near; empty: run.initialize_from", kFree})
      .number("pretrain_coefficient", &C::pretrain_coefficient, kNotNegative,
              {"", "of the gradient on data.source beside PPO's (PPO-ptx); 0: none"})
      .number("pretrain_per_episode", &C::pretrain_per_episode, kFromOne,
              {"sequences", "of data.source for each episode of a minibatch"})
      .number("average_decay", &C::average_decay, {.least = 0, .most = 1, .open_most = true},
              {"", "of the moving average of the policy's weights; 0: none"})
      .flag("park_models", &C::park_models,
            {"", "reference and reward model wait in host memory while they are not at work", kFree});
}

void add_ppo_method(std::vector<Key>& keys) {
  using C = PpoConfig;
  SectionBuilder<C>(keys, "ppo", &Settings::ppo)
      .number("episodes", &C::episodes, {.least = 1, .most = kMostSequences}, {"episodes", "of one rollout"})
      .number("minibatch", &C::minibatch, {.least = 1, .most = kMostSequences},
              {"episodes", "of one update, which is one step of the run"})
      .number("inner_epochs", &C::inner_epochs, kFromOne, {"", "passes over a rollout"})
      .number("clip", &C::clip, kPositive, {"", "of the ratio of probabilities: to 1 - clip ... 1 + clip"})
      .number("value_clip", &C::value_clip, kNotNegative, {"", "of a value's change; 0: none"})
      .number("value_learning_rate", &C::value_learning_rate, kPositive,
              {"", "of the value model; follows the schedule of [optimizer]", kFree})
      .number("kl_coefficient", &C::kl_coefficient, kNotNegative,
              {"", "per-token penalty against the reference; where it starts if kl_target is given"})
      .number("kl_target", &C::kl_target, kNotNegative,
              {"nats", "a response, that the coefficient is steered to; 0: it stays as it is"})
      .number("kl_horizon", &C::kl_horizon, kPositive, {"episodes", "over which the coefficient is steered"})
      .number("discount", &C::discount, kShare, {"", "gamma of the advantage estimator"})
      .number("gae_lambda", &C::gae_lambda, kShare, {"", "lambda of the advantage estimator"})
      .flag("whiten_rewards", &C::whiten_rewards, {"", "rewards to variance 1 over the rollout, mean kept"})
      .flag("whiten_advantages", &C::whiten_advantages, {"", "advantages to mean 0, variance 1 over the rollout"})
      .number("score_clip", &C::score_clip, kNotNegative, {"", "of a score's size; 0: none"})
      .choice("missing_end", &C::missing_end, {{"as_scored", MissingEnd::as_scored}, {"fixed", MissingEnd::fixed}},
              {"", "score of a response that max_new_tokens cut off: the reward model's, or missing_end_score"})
      .number("missing_end_score", &C::missing_end_score, {.least = -1e300},
              {"", "score of such a response where missing_end = fixed"});
}

void add_evaluate(std::vector<Key>& keys) {
  using C = EvaluateConfig;
  SectionBuilder<C>(keys, "evaluate", &Settings::evaluate)
      .text("prompts", &C::prompts, "paths, ..., or empty", {"", "JSONL of held-out prompts", kFree})
      .text("reward_model", &C::reward_model, "a folder, or empty", {"", "the judge: a run of phase reward", kFree})
      .text("reference", &C::reference, "a folder, or empty", {"", "what divergences are measured from", kFree})
      .text("opponent", &C::opponent, "a folder, or empty",
            {"", "run of a model of the same shape, for a win rate", kFree})
      .text("curve", &C::curve, "folders, ...", {"", "checkpoints: score against the root of the divergence", kFree})
      .number("best_of", &C::best_of, {.least = 0, .most = 1024},
              {"responses", "to each prompt: best of 1, 4, 16, ... up to this; 0: none", kFree})
      .text("best_of_policy", &C::best_of_policy, "a folder, or empty",
            {"", "whose responses; empty: run.initialize_from", kFree})
      .text("scores", &C::scores, "a path, or empty",
            {"", "JSONL of responses with scores of any judge: win rate from files", kFree})
      .text("opponent_scores", &C::opponent_scores, "a path, or empty",
            {"", "the other side: compared on the prompts of both, in any order", kFree})
      .text("output", &C::output, "a path, or empty", {"", "JSONL of the responses, side by side", kFree});
}

void add_reward(std::vector<Key>& keys) {
  using C = RewardConfig;
  SectionBuilder<C>(keys, "reward", &Settings::reward)
      .text("comparisons", &C::comparisons, "paths, ...", {"", "JSONL of ranked responses to learn from", kFree})
      .text("validation", &C::validation, "paths, ..., or empty", {"", "the same, held out", kFree})
      .number("responses", &C::responses, {.least = 2, .most = 64},
              {"responses", "the most of a prompt (K): a micro-batch has batch.micro times as many sequences"})
      .choice("loss", &C::loss, {{"pairwise", RankingKind::pairwise}, {"best_of_n", RankingKind::best_of_n}},
              {"", "-log sigma(difference) of all pairs, or -log softmax of the best"})
      .number("epochs", &C::epochs, kFromOne, {"", "over the comparisons; where run.steps = 0", kFree})
      .choice("normalise", &C::normalise,
              {{"none", Normalise::none}, {"bias", Normalise::bias}, {"gain_and_bias", Normalise::gain_and_bias}},
              {"", "after the last step: the reference scores 0 on average, and with gain with variance 1", kFree})
      .text("reference", &C::reference, "paths, ..., or empty", {"", "JSONL of demonstrations to normalise on", kFree});
}

void add_score(std::vector<Key>& keys) {
  using C = ScoreConfig;
  SectionBuilder<C>(keys, "score", &Settings::score)
      .text("input", &C::input, "paths, ...", {"", "JSONL of prompts with responses, or of comparisons", kFree})
      .text("output", &C::output, "a path", {"", "JSONL to write: the same lines with their score", kFree});
}

}  // namespace

void add_alignment_keys(std::vector<Key>& keys) {
  add_reward(keys);
  add_score(keys);
  add_model(keys, "reward_model", &Settings::reward_model);
  add_grid(keys, "reward_grid", &Settings::reward_grid);
  add_sft(keys);
  add_ppo_sources(keys);
  add_ppo_method(keys);
  add_evaluate(keys);
}

}  // namespace coxswain
