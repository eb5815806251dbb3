// Losses and statistics of alignment against PyTorch's (tests/golden/make_losses.py): losses and gradients in FP32
// within 1e-6, what the host computes in double within 1e-6 of FP32 results and 1e-9 of others.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "kernels/backend.h"
#include "rl/advantages.h"
#include "rl/best_of_n.h"
#include "rl/kl_controller.h"
#include "rl/reward_shaping.h"
#include "rl/win_rate.h"

namespace coxswain {
namespace {

using Json = nlohmann::json;

const Json& golden() {
  static const Json json = Json::parse(std::ifstream(COXSWAIN_SOURCE_DIR "/tests/golden/losses.json"));
  return json;
}

std::vector<float> floats(const Json& json) { return json.get<std::vector<float>>(); }
std::vector<double> doubles(const Json& json) { return json.get<std::vector<double>>(); }

// The CPU backend's memory is the host's: a view may look at a vector.
template <class T>
TensorView view_of(std::vector<T>& values, const Shape& shape) {
  return TensorView(values.data(), dtype_of<T>(), shape);
}
template <class T>
TensorView view_of(std::vector<T>& values) {
  return view_of(values, {std::ssize(values)});
}

template <class T>
void expect_near(const std::vector<T>& actual, const Json& expected, double tolerance, const char* what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double value = expected[i].get<double>();
    EXPECT_NEAR(static_cast<double>(actual[i]), value, tolerance * std::max(1.0, std::abs(value))) << what << " " << i;
  }
}

TEST(GoldenAlignment, PolicyLoss) {
  const Json& json = golden()["policy_loss"];
  auto token_loss = floats(json["token_loss"]), old_log_probs = floats(json["old_log_probs"]);
  auto advantages = floats(json["advantages"]), weights = floats(json["weights"]);
  std::vector<float> gradient(weights.size());
  std::vector<double> terms(4);
  make_cpu_backend()->policy_loss({view_of(token_loss), view_of(old_log_probs), view_of(advantages), view_of(weights),
                                   json["clip"].get<double>(), view_of(gradient), view_of(terms)});
  expect_near(gradient, json["gradient"], 1e-6, "gradient");
  expect_near(terms, json["terms"], 1e-6, "terms");
}

TEST(GoldenAlignment, ValueLoss) {
  const Json& json = golden()["value_loss"];
  auto values = floats(json["values"]), old_values = floats(json["old_values"]);
  auto returns = floats(json["returns"]), weights = floats(json["weights"]);
  std::vector<float> gradient(weights.size());
  std::vector<double> terms(2);
  make_cpu_backend()->value_loss({view_of(values), view_of(old_values), view_of(returns), view_of(weights),
                                  json["clip"].get<double>(), view_of(gradient), view_of(terms)});
  expect_near(gradient, json["gradient"], 1e-6, "gradient");
  expect_near(terms, json["terms"], 1e-6, "terms");
}

TEST(GoldenAlignment, RankingLosses) {
  for (const Json& json : golden()["ranking_loss"]) {
    auto scores = floats(json["scores"]), group_weights = floats(json["group_weights"]);
    auto ranks = json["ranks"].get<std::vector<std::int32_t>>();
    std::vector<float> gradient(scores.size());
    std::vector<double> terms(3);
    const Shape shape{json["shape"][0].get<std::int64_t>(), json["shape"][1].get<std::int64_t>()};
    Backend::RankingLoss op;
    op.kind = json["kind"] == "pairwise" ? RankingKind::pairwise : RankingKind::best_of_n;
    op.scores = view_of(scores, shape);
    op.ranks = view_of(ranks, shape);
    op.group_weights = view_of(group_weights);
    op.gradient = view_of(gradient, shape);
    op.terms = view_of(terms);
    make_cpu_backend()->ranking_loss(op);
    expect_near(gradient, json["gradient"], 1e-6, "gradient");
    expect_near(terms, json["terms"], 1e-6, "terms");
  }
}

TEST(GoldenAlignment, ScalarProjection) {
  const Json& json = golden()["scalar_projection"];
  const auto rows = json["rows"].get<std::int64_t>(), columns = json["columns"].get<std::int64_t>();
  auto y = floats(json["y"]), w = floats(json["w"]), bias = floats(json["bias"]), dout = floats(json["dout"]);
  std::vector<float> out(dout.size()), dy(y.size()), dw(w.size()), dbias(1);
  const auto backend = make_cpu_backend();
  backend->scalar_projection(view_of(y, {rows, columns}), view_of(w), view_of(bias), view_of(out));
  backend->scalar_projection_gradient({view_of(dout), view_of(y, {rows, columns}), view_of(w),
                                       view_of(dy, {rows, columns}), view_of(dw), view_of(dbias)});
  expect_near(out, json["out"], 1e-6, "out");
  expect_near(dy, json["dy"], 1e-6, "dy");
  expect_near(dw, json["dw"], 1e-6, "dw");
  expect_near(dbias, json["dbias"], 1e-6, "dbias");
}

TEST(GoldenAlignment, RewardsAdvantagesAndWhitening) {
  const Json& json = golden()["rollout"];
  Rollout rollout;
  for (const Json& each : json["episodes"]) {
    Episode episode;
    episode.log_probs = floats(each["log_probs"]);
    episode.reference_log_probs = floats(each["reference_log_probs"]);
    episode.values = floats(each["values"]);
    episode.score = each["score"].get<float>();
    episode.ended = each["ended"].get<bool>();
    episode.prompt_length = 3;
    episode.tokens.resize(3 + episode.values.size());
    rollout.episodes.push_back(std::move(episode));
  }
  const auto expect_all = [&](std::vector<float> Episode::*numbers, const char* name) {
    for (std::size_t i = 0; i < rollout.episodes.size(); ++i)
      expect_near(rollout.episodes[i].*numbers, json["episodes"][i][name], 1e-6, name);
  };
  shape_rewards(rollout, json["kl_coefficient"].get<double>(),
                {json["score_clip"].get<double>(), json["missing_end_score"].get<double>()});
  expect_all(&Episode::rewards, "rewards");
  whiten(rollout, &Episode::rewards, WhitenedMean::kept);
  expect_all(&Episode::rewards, "whitened_rewards");
  estimate_advantages(rollout, json["discount"].get<double>(), json["lambda"].get<double>());
  expect_all(&Episode::advantages, "advantages");
  expect_all(&Episode::returns, "returns");
  whiten(rollout, &Episode::advantages, WhitenedMean::zero);
  expect_all(&Episode::advantages, "whitened_advantages");
  std::size_t tokens = 0;
  for (const Episode& episode : rollout.episodes) tokens += episode.log_probs.size();
  const double share = static_cast<double>(rollout.episodes.size()) / static_cast<double>(tokens);
  const KlEstimates divergence = mean_divergence_by_response(rollout);
  expect_near(std::vector<double>{share * divergence.k1, share * divergence.k2, share * divergence.k3},
              json["divergence"], 1e-9, "divergence of a token");
}

TEST(GoldenAlignment, KlController) {
  const Json& json = golden()["kl_controller"];
  KlController controller(json["start"].get<double>(), json["target"].get<double>(), json["horizon"].get<double>());
  std::vector<double> coefficients;
  for (const Json& divergence : json["divergence"]) {
    controller.update(divergence.get<double>(), static_cast<std::int64_t>(json["episodes"].get<double>()));
    coefficients.push_back(controller.coefficient());
  }
  expect_near(coefficients, json["coefficients"], 1e-15, "coefficients");
}

TEST(GoldenAlignment, BestOfN) {
  const Json& json = golden()["best_of_n"];
  const auto proxy = doubles(json["proxy"]), measured = doubles(json["measured"]);
  std::vector<double> expected, divergence;
  for (int n = 1; n <= std::ssize(proxy); ++n) {
    expected.push_back(expected_best_of_n(proxy, measured, n));
    divergence.push_back(best_of_n_divergence(n));
  }
  expect_near(expected, json["expected"], 1e-12, "expected");
  expect_near(divergence, json["divergence"], 1e-15, "divergence");
}

TEST(GoldenAlignment, LengthControlledWinRate) {
  const Json& json = golden()["length_controlled"];
  const LengthControlled result = length_controlled_win_rate(
      doubles(json["ours"]), doubles(json["theirs"]), doubles(json["our_lengths"]), doubles(json["their_lengths"]));
  EXPECT_NEAR(result.rate.share, json["rate"].get<double>(), 1e-8);
  EXPECT_NEAR(result.length_effect, json["effect"].get<double>(), 1e-7);
  expect_near(std::vector<double>{result.rate.interval.low, result.rate.interval.high}, json["interval"], 1e-7,
              "interval");
}

}  // namespace
}  // namespace coxswain
