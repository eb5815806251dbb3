// PPO against PyTorch (tests/golden/make_ppo_minibatch.py) in FP32: what four models say of a rollout, the rewards and
// advantages that follow, and a minibatch's losses and all gradients, with and without pre-training text. On one rank,
// cut into one and several shards and micro-batches.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "io/hdf5_file.h"
#include "rl/advantages.h"
#include "rl/ppo_models.h"
#include "rl/reward_shaping.h"

namespace coxswain {
namespace {

class Golden {
 public:
  std::vector<float> floats(const std::string& name) const { return read<float>(name); }
  std::vector<std::int32_t> integers(const std::string& name) const { return read<std::int32_t>(name); }
  std::vector<double> doubles(const std::string& name) const { return read<double>(name); }
  double number(const char* name) const { return file_.double_attribute("/", name); }
  int integer(const char* name) const { return static_cast<int>(file_.int_attribute("/", name)); }
  const hdf5::File& file() const { return file_; }

 private:
  template <class T>
  std::vector<T> read(const std::string& name) const {
    const auto dataset = file_.open_dataset(name);
    std::vector<T> values(static_cast<std::size_t>(dataset.shape().elements()));
    dataset.read(values.data());
    return values;
  }
  hdf5::File file_ = hdf5::File::open(COXSWAIN_SOURCE_DIR "/tests/golden/ppo_minibatch.h5");
};

// Reads one model's weights as if the golden file were a checkpoint; "model/NAME" is MODEL/weights/NAME there.
class Weights final : public Archive {
 public:
  Weights(const Golden& golden, std::string model) : golden_(golden), model_(std::move(model)) {}
  bool reading() const override { return true; }
  bool has(const std::string&) const override { return true; }
  void value(const std::string&, std::int64_t&) override {}
  void value(const std::string&, double&) override {}
  void value(const std::string&, std::string&) override {}
  void value(const std::string&, std::vector<double>&) override {}
  void tensor(const Piece& piece) override {
    const std::string name = piece.name.substr(std::string("model/").size());
    const auto dataset = golden_.file().open_dataset(model_ + "/weights/" + name);
    ASSERT_EQ(dataset.shape(), piece.global) << piece.name;
    dataset.read(piece.offset, piece.count, piece.memory.data);
  }

 private:
  const Golden& golden_;
  std::string model_;
};

// Takes whole tensors out of what a run would save.
class Tensors final : public Archive {
 public:
  bool reading() const override { return false; }
  bool has(const std::string&) const override { return false; }
  void value(const std::string&, std::int64_t&) override {}
  void value(const std::string&, double&) override {}
  void value(const std::string&, std::string&) override {}
  void value(const std::string&, std::vector<double>&) override {}
  void tensor(const Piece& piece) override {
    std::vector<float>& whole = values[piece.name];
    whole.resize(static_cast<std::size_t>(piece.global.elements()));
    const std::int64_t row = piece.global.elements() / piece.global[0],
                       columns = piece.count.elements() / piece.count[0];
    const std::int64_t column = piece.global.rank() > 1 ? piece.offset[1] : 0;
    for (std::int64_t i = 0; i < piece.count.elements(); ++i)
      whole[static_cast<std::size_t>((piece.offset[0] + i / columns) * row + column + i % columns)] =
          piece.memory.as<float>()[i];
  }
  std::map<std::string, std::vector<float>> values;
};

struct Case {
  int tensor_shards, data_shards, micro, virtual_stages;
};

PpoModelConfig config_of(const Golden& golden, const Case& c, bool with_text) {
  PpoModelConfig config;
  ModelConfig& model = config.policy;
  model.layers = golden.integer("layers");
  model.hidden = golden.integer("hidden");
  model.heads = golden.integer("heads");
  model.vocabulary = golden.integer("vocabulary");
  model.context = golden.integer("context");
  config.reward = model;
  config.reward.hidden = golden.integer("value_hidden");
  config.reward.head = HeadKind::scalar;
  config.policy.check();
  config.reward.check();
  config.batch.micro = c.micro;
  config.batch.length = model.context;
  config.optimizer.beta1 = 0;  // so that the first moments are the gradients
  config.optimizer.clip_norm = 0;
  config.ppo.clip = golden.number("clip");
  config.ppo.value_clip = golden.number("value_clip");
  config.ppo.pretrain_coefficient = with_text ? golden.number("pretrain_coefficient") : 0;
  config.ppo.pretrain_per_episode = golden.integer("pretrain_per_episode");
  config.ppo.average_decay = 0;
  return config;
}

ProcessGrid grid_of(const Case& c) {
  GridConfig config;
  config.tensor_shards = c.tensor_shards;
  config.data_shards = c.data_shards;
  config.virtual_stages = c.virtual_stages;
  config.check(1);
  return ProcessGrid::planned(config, 0);
}

// Everything that lives as long as the four models.
struct Loaded {
  Golden golden;
  ProcessGrid grid;
  std::unique_ptr<Backend> backend = make_cpu_backend();
  PpoModels models;
  Rollout rollout;

  Loaded(const Case& c, bool with_text)
      : grid(grid_of(c)), models(config_of(golden, c, with_text), grid, grid, *backend) {
    Weights policy(golden, "policy"), reference(golden, "reference"), reward(golden, "reward"), value(golden, "value");
    models.load_policy(policy);
    models.load_reference(reference);
    models.load_reward_model(reward);
    models.load_value_model(value);
    models.park_frozen();
    const auto tokens = golden.integers("rollout/tokens"), lengths = golden.integers("rollout/lengths");
    const std::size_t width = static_cast<std::size_t>(golden.integer("context"));
    for (std::size_t i = 0; i < lengths.size() / 3; ++i) {
      Episode episode;
      episode.prompt_length = lengths[3 * i];
      episode.ended = lengths[3 * i + 2] != 0;
      const auto first = tokens.begin() + static_cast<std::ptrdiff_t>(i * width);
      episode.tokens.assign(first, first + lengths[3 * i + 1]);
      rollout.episodes.push_back(std::move(episode));
    }
  }

  // Deals the numbers of all response tokens out to the episodes.
  void deal(const std::string& name, std::vector<float> Episode::*numbers) {
    const std::vector<float> all = golden.floats(name);
    auto next = all.begin();
    for (Episode& episode : rollout.episodes) {
      (episode.*numbers).assign(next, next + episode.response_length());
      next += episode.response_length();
    }
    ASSERT_EQ(next, all.end()) << name;
  }
  std::vector<float> all(std::vector<float> Episode::*numbers) const {
    std::vector<float> result;
    for (const Episode& episode : rollout.episodes)
      result.insert(result.end(), (episode.*numbers).begin(), (episode.*numbers).end());
    return result;
  }
};

void expect_near(const std::vector<float>& actual, const std::vector<float>& expected, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (std::size_t i = 0; i < actual.size(); ++i)
    EXPECT_NEAR(actual[i], expected[i], 1e-5f * std::max(1.0f, std::abs(expected[i]))) << what << " " << i;
}

// Largest difference as a share of the golden tensor's largest element, over the tensors that the golden group holds.
void expect_gradients(const Golden& golden, const std::string& group, const Tensors& mine, const std::string& prefix,
                      int tensors) {
  int compared = 0;
  for (const auto& [name, values] : mine.values) {
    if (!name.starts_with(prefix)) continue;
    const std::vector<float> expected = golden.floats(group + "/gradients/" + name.substr(prefix.size()));
    ASSERT_EQ(values.size(), expected.size()) << name;
    float largest = 0, worst = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      largest = std::max(largest, std::abs(expected[i]));
      worst = std::max(worst, std::abs(values[i] - expected[i]));
    }
    EXPECT_GT(largest, 0.0f) << name;
    EXPECT_LT(worst, 1e-5f * largest) << name;
    ++compared;
  }
  EXPECT_EQ(compared, tensors) << prefix;
}

void expect_terms(const std::vector<double>& actual, const std::vector<double>& expected, const char* what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (std::size_t i = 0; i < actual.size(); ++i)
    EXPECT_NEAR(actual[i], expected[i], 1e-5 * std::max(1.0, std::abs(expected[i]))) << what << " " << i;
}

class GoldenPpo : public testing::TestWithParam<Case> {};

TEST_P(GoldenPpo, WhatTheModelsSayAndWhatFollows) {
  Loaded loaded(GetParam(), false);
  const Golden& golden = loaded.golden;
  Rollout& rollout = loaded.rollout;
  loaded.models.assess(rollout);
  expect_near(loaded.all(&Episode::log_probs), golden.floats("rollout/log_probs"), "log_probs");
  expect_near(loaded.all(&Episode::reference_log_probs), golden.floats("rollout/reference_log_probs"), "reference");
  expect_near(loaded.all(&Episode::values), golden.floats("rollout/values"), "values");
  std::vector<float> scores;
  for (const Episode& episode : rollout.episodes) scores.push_back(episode.score);
  expect_near(scores, golden.floats("rollout/scores"), "scores");

  shape_rewards(rollout, golden.number("kl_coefficient"),
                {golden.number("score_clip"), golden.number("missing_end_score")});
  whiten(rollout, &Episode::rewards, WhitenedMean::kept);
  estimate_advantages(rollout, golden.number("discount"), golden.number("gae_lambda"));
  whiten(rollout, &Episode::advantages, WhitenedMean::zero);
  expect_near(loaded.all(&Episode::rewards), golden.floats("rollout/rewards"), "rewards");
  expect_near(loaded.all(&Episode::advantages), golden.floats("rollout/advantages"), "advantages");
  expect_near(loaded.all(&Episode::returns), golden.floats("rollout/returns"), "returns");
}

MicroBatch text_of(const Golden& golden, std::int64_t first, int count) {
  const auto tokens = golden.integers("pretraining/tokens"), targets = golden.integers("pretraining/targets");
  MicroBatch batch;
  batch.sequences = count;
  batch.length = golden.integer("context");
  const auto begin = static_cast<std::ptrdiff_t>(first * batch.length), size = std::ptrdiff_t{count} * batch.length;
  batch.tokens.assign(tokens.begin() + begin, tokens.begin() + begin + size);
  batch.targets.assign(targets.begin() + begin, targets.begin() + begin + size);
  batch.weights.assign(static_cast<std::size_t>(size), 1.0f);
  for (int i = 0; i < size; ++i) batch.positions.push_back(i % batch.length);
  return batch;
}

void check_minibatch(const Case& c, bool with_text) {
  Loaded loaded(c, with_text);
  const Golden& golden = loaded.golden;
  loaded.deal("minibatch/old_log_probs", &Episode::log_probs);
  loaded.deal("minibatch/old_values", &Episode::values);
  loaded.deal("rollout/advantages", &Episode::advantages);
  loaded.deal("rollout/returns", &Episode::returns);
  std::vector<std::int64_t> order;
  for (const std::int32_t episode : golden.integers("minibatch/episodes")) order.push_back(episode);

  PpoModels::Minibatch minibatch{&loaded.rollout, order, 1, {}};
  minibatch.pretraining = [&](std::int64_t first, int count) { return text_of(golden, first, count); };
  const auto result = loaded.models.update(minibatch, 0.0, 0.0);
  ASSERT_TRUE(result.policy.updated && result.value.updated);

  const std::string policy = with_text ? "policy_ptx" : "policy";
  std::vector<double> terms = result.policy.terms[0];
  if (with_text) terms.push_back(result.policy.terms.at(1)[0]);
  expect_terms(terms, golden.doubles(policy + "/terms"), "policy");
  expect_terms({result.policy.loss}, golden.doubles(policy + "/loss"), "policy loss");
  expect_terms(result.value.terms[0], golden.doubles("value/terms"), "value");
  EXPECT_GT(terms[PolicyLoss::kClipFraction], 0.1);  // the golden case has what clipping is for
  EXPECT_GT(result.value.terms[0][ValueLoss::kClipFraction], 0.1);
  Tensors saved;
  loaded.models.visit(saved);
  constexpr int kTensors = 2 + 2 * 12 + 2;  // embeddings, layers, the last norm
  expect_gradients(golden, policy, saved, "optimizer/moment1/", kTensors);
  expect_gradients(golden, "value", saved, "value/optimizer/moment1/", kTensors + 2);
}

TEST_P(GoldenPpo, MinibatchWithoutPretrainingText) { check_minibatch(GetParam(), false); }
TEST_P(GoldenPpo, MinibatchWithPretrainingText) { check_minibatch(GetParam(), true); }

INSTANTIATE_TEST_SUITE_P(All, GoldenPpo, testing::Values(Case{1, 1, 4, 1}, Case{2, 2, 1, 1}, Case{2, 1, 2, 2}),
                         [](const auto& info) {
                           const Case& c = info.param;
                           return "shards" + std::to_string(c.tensor_shards) + "x" + std::to_string(c.data_shards) +
                                  "_micro" + std::to_string(c.micro) + "_chunks" + std::to_string(c.virtual_stages);
                         });

}  // namespace
}  // namespace coxswain
