#include "phases/evaluate.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "data/tokenizer_identity.h"
#include "io/append_file.h"
#include "io/output_file.h"
#include "phases/policy_sampling.h"
#include "rl/best_of_n.h"
#include "rl/proportion.h"
#include "rl/win_rate.h"

namespace coxswain {

namespace {

constexpr std::uint64_t kBootstrapStream = 0xe7a1ull << 48;

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

Prompts prompts_of(const EvaluatePhaseConfig& config, const ChatFormat& chat, const LoadContext& context) {
  if (config.evaluate.prompts.empty()) return {};
  const RecordFiles files{config.evaluate.prompts, "[evaluate] prompts", config.data.on_bad_line};
  return read_prompts({files, chat, context.world, context.log, config.batch.length - config.generate.max_new_tokens});
}

nlohmann::ordered_json json_of(const Interval& interval) { return {interval.low, interval.high}; }

nlohmann::ordered_json json_of(const Proportion& share) {
  return {{"share", share.share}, {"interval", json_of(share.interval)}, {"trials", share.trials}};
}

}  // namespace

Evaluate::Evaluate(const EvaluatePhaseConfig& config, const ProcessGrid& grid, Backend& backend, Log& log)
    : config_(config),
      context_{grid.world(), backend, log},
      reward_grid_(grid.world(), config.reward_grid),
      tokenizer_(make_tokenizer(config.data)),
      chat_(config.chat, *tokenizer_),
      prompts_(prompts_of(config, chat_, context_)) {
  try_output(context_.world, config.evaluate.output, "[evaluate] output");
  plan_tasks();
  if (config.model.layers == 0) return;
  policy_.emplace(config.model, grid, backend);
  if (!config.evaluate.reward_model.empty()) judge_.emplace(config.reward_model, reward_grid_, backend);
  if (!config.evaluate.reference.empty()) reference_.emplace(config.model, grid, backend);
  policy_judge_ = std::make_unique<PolicyJudge>(
      *policy_, judge_ ? &*judge_ : nullptr, reference_ ? &*reference_ : nullptr,
      JudgingConfig{config.batch.micro, config.batch.length, config.generate.slots, config.generate.compress_weights});
}

void Evaluate::plan_tasks() {
  const EvaluateConfig& wanted = config_.evaluate;
  if (!wanted.scores.empty()) tasks_.emplace_back([this] { return compare_files(); });
  if (!config_.data.validation.empty()) tasks_.emplace_back([this] { return measure_perplexity(); });
  if (prompts_.records.empty()) return;
  tasks_.emplace_back([this] { return judge_policy(); });
  if (!wanted.opponent.empty()) tasks_.emplace_back([this] { return judge_opponent(); });
  if (wanted.best_of > 1) tasks_.emplace_back([this] { return measure_best_of_n(); });
  for (const std::string& path : parse_paths(wanted.curve))
    tasks_.emplace_back([this, path] { return add_to_curve(path); });
}

void Evaluate::load_frozen() {
  const EvaluateConfig& wanted = config_.evaluate;
  if (judge_) load(*judge_, {wanted.reward_model, "[evaluate] reward_model", "judge", HeadKind::scalar});
  if (reference_) load(*reference_, {wanted.reference, "[evaluate] reference", "reference", HeadKind::language});
}

void Evaluate::load(FrozenModel& model, const ModelSource& source) {
  load_model(source, context_, [&](Archive& archive) {
    visit_tokenizer(archive, {tokenizer_->name(), tokenizer_->hash()}, named(source));
    model.load(archive);
  });
}

void Evaluate::load_policy(const ModelSource& source) {
  if (loaded_ != std::pair(source.path, source.kind)) load(*policy_, source);
  loaded_ = {source.path, source.kind};
}

ModelSource Evaluate::own_policy() const { return initial_weights(config_.run, HeadKind::language, "policy"); }

ModelSource Evaluate::other_policy(const std::string& path, const char* key) const {
  return {path, key, "policy", HeadKind::language};
}

StepReport Evaluate::run_step() {
  StepReport report;
  const std::size_t known = report_.lines.size();
  report.metrics = tasks_[static_cast<std::size_t>(step_)]();
  report.note = note_of(report_, known);
  ++step_;
  return report;
}

std::vector<GenerationRequest> Evaluate::requests(int samples) const {
  std::vector<GenerationRequest> asked;
  for (std::size_t prompt = 0; prompt < prompts_.records.size(); ++prompt)
    for (int sample = 0; sample < samples; ++sample)
      asked.push_back({prompts_.records[prompt].tokens, static_cast<std::int64_t>(prompt), sample});
  return asked;
}

Rollout Evaluate::judged(const ModelSource& policy, int samples) {
  load_policy(policy);
  Rollout rollout =
      policy_judge_->judge(requests(samples), policy_sampling(config_.generate, config_.run.seed, chat_, *tokenizer_));
  for (const Episode& episode : rollout.episodes) {
    if (std::isfinite(episode.score)) continue;
    throw Error(ExitCode::diverged, fmt::format("the score is {}: the model of [evaluate] reward_model = {} is broken; "
                                                "use an earlier checkpoint",
                                                episode.score, config_.evaluate.reward_model))
        .on_every_rank();
  }
  return rollout;
}

Evaluate::Metrics Evaluate::measure_perplexity() {
  const ValidationSource text(config_.data, config_.batch.length, config_.model.vocabulary);
  require_same_tokens({"[data] validation", config_.data.validation, text.tokenizer_hash()}, tokenizer_->hash(),
                      fmt::format("[data] tokenizer = {}, the model's", tokenizer_->name()));
  load_policy(own_policy());
  GlobalBatch batch;
  const int unit = policy_->model().context().grid.config().data_shards * config_.batch.micro;
  batch.size = static_cast<int>((text.samples() + unit - 1) / unit * unit);
  batch.micro = config_.batch.micro;
  batch.load = [&](std::int64_t first, int count) { return text.micro_batch(first, count); };
  const double loss = policy_->terms(batch).front();
  results_["perplexity"] = {{"text", config_.data.validation},
                            {"tokens", text.samples() * config_.batch.length},
                            {"loss", loss},
                            {"perplexity", std::exp(loss)}};
  report_.add("perplexity", fmt::format("{:.4f}, loss {:.4f} on {}", std::exp(loss), loss, config_.data.validation));
  return {{"validation_loss", loss}, {"perplexity", std::exp(loss)}};
}

ScorePoint Evaluate::point_of(const std::vector<double>& scores, double divergence) const {
  return {divergence, mean(scores), bootstrap_mean(scores, {config_.run.seed, kBootstrapStream})};
}

void Evaluate::note_policy(const char* name, const Rollout& rollout, std::vector<ScorePoint>& points,
                           Metrics& metrics) {
  const std::vector<double> lengths = lengths_of(rollout);
  nlohmann::ordered_json& result = results_[name];
  result["responses"] = rollout.episodes.size();
  result["response_tokens"] = mean(lengths);
  std::string line = fmt::format("{} responses of {:.1f} tokens", rollout.episodes.size(), mean(lengths));
  const double divergence = reference_ ? mean_divergence_by_response(rollout).k1 : 0;
  if (judge_) {
    const ScorePoint point = point_of(scores_of(rollout), divergence);
    result["score"] = point.score;
    result["score_interval"] = json_of(point.interval);
    metrics.emplace_back(fmt::format("{}_score", name), point.score);
    line += ", " + score_text(point);
    if (reference_) points = {point};
  }
  if (reference_) {
    result["kl"] = divergence;
    metrics.emplace_back(fmt::format("{}_kl", name), divergence);
    line += fmt::format(", KL {:.3f}", divergence);
  }
  report_.add(name, line);
}

Evaluate::Metrics Evaluate::judge_policy() {
  Metrics metrics;
  ours_ = judged(own_policy(), 1);
  note_policy("policy", *ours_, report_.policy, metrics);
  write_samples(*ours_, nullptr);
  return metrics;
}

Evaluate::Metrics Evaluate::judge_opponent() {
  Metrics metrics;
  const Rollout theirs = judged(other_policy(config_.evaluate.opponent, "[evaluate] opponent"), 1);
  note_policy("opponent", theirs, report_.opponent, metrics);
  if (judge_) note_win_rate(*ours_, theirs, metrics);
  write_samples(*ours_, &theirs);
  return metrics;
}

void Evaluate::note_win_rate(const Rollout& ours, const Rollout& theirs, Metrics& metrics) {
  const ScoredResponses mine{scores_of(ours), lengths_of(ours)}, other{scores_of(theirs), lengths_of(theirs)};
  const WinRates rates = compare(mine, other);
  results_["win_rate"] = json_of(rates.plain);
  results_["length_controlled_win_rate"] = json_of(rates.length_controlled.rate);
  metrics.emplace_back("win_rate", rates.plain.share);
  report_.add(rates);
}

Evaluate::Metrics Evaluate::compare_files() {
  const EvaluateConfig& wanted = config_.evaluate;
  const auto read = [&](const std::string& path, const char* key) {
    return read_scored_lines({path, key, config_.data.on_bad_line}, context_.world, context_.log);
  };
  const PairedResponses pairs =
      pair_up(read(wanted.scores, "[evaluate] scores"), read(wanted.opponent_scores, "[evaluate] opponent_scores"),
              wanted.scores, wanted.opponent_scores);
  const WinRates rates = compare(pairs.ours, pairs.theirs);
  results_["files"] = {{"win_rate", json_of(rates.plain)},
                       {"length_controlled_win_rate", json_of(rates.length_controlled.rate)},
                       {"score", mean(pairs.ours.scores)},
                       {"opponent_score", mean(pairs.theirs.scores)},
                       {"left_out", pairs.left_out.total()},
                       {"opponent_left_out", pairs.their_left_out.total()},
                       {"lengths", pairs.in_tokens ? "tokens" : "bytes"}};
  report_.add(rates);
  note_left_out("scores", pairs.left_out);
  note_left_out("opponent_scores", pairs.their_left_out);
  if (!pairs.in_tokens) context_.log.info("lengths are counted in bytes: not all of these lines tell their tokens");
  return {{"win_rate", rates.plain.share}};
}

void Evaluate::note_left_out(const char* key, const DropReport& left_out) {
  if (left_out.total() == 0) return;
  context_.log.info("{} responses of [evaluate] {} have no counterpart and are left out:\n{}", left_out.total(), key,
                    left_out.str());
  report_.add("left out", fmt::format("{} responses of {}: no counterpart", left_out.total(), key));
}

Evaluate::Metrics Evaluate::measure_best_of_n() {
  const int most = config_.evaluate.best_of;
  const std::string& other = config_.evaluate.best_of_policy;
  const ModelSource policy = other.empty() ? own_policy() : other_policy(other, "[evaluate] best_of_policy");
  const std::vector<double> scores = scores_of(judged(policy, most));
  const bool is_reference = policy.path == config_.evaluate.reference && policy.kind == WeightsKind::model;
  Metrics metrics;
  for (int n = 1; n <= most; n *= 4) {
    std::vector<double> best;  // of each prompt
    for (std::size_t prompt = 0; prompt < prompts_.records.size(); ++prompt)
      best.push_back(expected_best_of_n(
          std::span(scores).subspan(prompt * static_cast<std::size_t>(most), static_cast<std::size_t>(most)), n));
    const ScorePoint point = point_of(best, best_of_n_divergence(n));
    results_["best_of_n"].push_back(
        {{"n", n}, {"score", point.score}, {"score_interval", json_of(point.interval)}, {"kl", point.divergence}});
    metrics.emplace_back(fmt::format("best_of_{}", n), point.score);
    report_.add(fmt::format("best of {}", n), fmt::format("{}, KL {:.3f}", score_text(point), point.divergence));
    if (is_reference) report_.best_of_n.push_back(point);
  }
  return metrics;
}

Evaluate::Metrics Evaluate::add_to_curve(const std::string& path) {
  const Rollout rollout = judged(other_policy(path, "[evaluate] curve"), 1);
  const ScorePoint point = point_of(scores_of(rollout), mean_divergence_by_response(rollout).k1);
  results_["curve"].push_back({{"checkpoint", path},
                               {"kl", point.divergence},
                               {"sqrt_kl", point.root()},
                               {"score", point.score},
                               {"score_interval", json_of(point.interval)}});
  report_.add("curve",
              fmt::format("{}, KL {:.3f}, sqrt {:.3f}: {}", score_text(point), point.divergence, point.root(), path));
  report_.curve.push_back(point);
  return {{"sqrt_kl", point.root()}, {"score", point.score}};
}

void Evaluate::write_samples(const Rollout& ours, const Rollout* theirs) const {
  const std::string& path = config_.evaluate.output;
  if (path.empty() || context_.world.rank() != 0) return;
  std::string text;
  for (std::size_t i = 0; i < ours.episodes.size(); ++i) {
    nlohmann::ordered_json line{{"prompt", prompts_.records[i].text}};
    const auto add = [&](const std::string& prefix, const Episode& episode) {
      const std::span tokens(episode.tokens);
      line[prefix + "response"] =
          chat_.decode_response(tokens.subspan(static_cast<std::size_t>(episode.prompt_length)));
      if (judge_) line[prefix + "score"] = episode.score;
    };
    add("", ours.episodes[i]);
    if (theirs != nullptr) add("opponent_", theirs->episodes[i]);
    text += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }
  replace_text_file(path, text);
}

void Evaluate::finish() {
  if (context_.world.rank() == 0)
    replace_text_file(config_.run.directory + "/evaluation.json", results_.dump(2) + "\n");
}

}  // namespace coxswain
