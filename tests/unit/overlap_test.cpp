// In which order a rank computes and communicates in a step, by a record of its calls: gradients leave while the layers
// below go back, updated weights are waited for layer by layer, where they are first used, and rows come from other
// tensor ranks and go there beside products.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "model/model.h"
#include "train/evaluator.h"
#include "train/trainer.h"

namespace coxswain {
namespace {

struct Event {
  std::string what, name;
  std::int64_t products = 0;  // of that direction, asked for before
  std::int64_t all_products = 0;
};

struct Record {
  explicit Record(const GridConfig& config) : grid(config) {}
  void add(const std::string& what, const std::string& name) {
    events.push_back({what, name, products(what == "wait" ? "linear" : "linear_weight_gradient"),
                      products("linear") + products("linear_input_gradient") + products("linear_weight_gradient")});
  }
  std::int64_t products(const std::string& operation) const {
    const auto known = backend->costs().find(operation);
    return known == backend->costs().end() ? 0 : known->second.calls;
  }
  std::vector<Event> of(const std::string& what, const std::string& name) const {
    std::vector<Event> found;
    for (const Event& event : events)
      if (event.what == what && event.name == name) found.push_back(event);
    return found;
  }

  GridConfig grid;
  std::unique_ptr<Backend> backend = make_counting_backend();
  std::vector<Event> events;
  bool ready = true;  // transfers, whenever they are asked
};

std::vector<std::int64_t> products_of(const std::vector<Event>& events) {
  std::vector<std::int64_t> products;
  for (const Event& event : events) products.push_back(event.products);
  return products;
}

// Moves nothing, and writes down what it is asked for.
class Recorder final : public Communicator {
 public:
  Recorder(Record& record, int rank, int size) : record_(record), rank_(rank), size_(size) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string transport() const override { return "nothing"; }
  Request send(TensorView, int, const char* name) override {
    record_.add("send", name);
    return Request();
  }
  Request receive(TensorView, int, const char*) override { return Request(); }
  Request exchange(const std::vector<Message>& incoming, const std::vector<Message>& outgoing,
                   const char* name) override {
    if (incoming.empty() && outgoing.empty()) return Request();
    record_.add("exchange", name);
    return Request(std::make_unique<Waited>(record_, name));
  }
  void all_gather(TensorView, TensorView, const char*) override {}
  void all_gather_rows(TensorView, TensorView, const std::vector<std::int64_t>&, const char* name) override {
    record_.add("gather", name);
  }
  void all_to_all(TensorView, TensorView, const char*) override {}
  void broadcast(TensorView, int, const char*) override {}
  void barrier(const char*) override {}
  std::int64_t all_max(std::int64_t value, const char*) override { return value; }
  std::int64_t all_min(std::int64_t value, const char*) override { return value; }
  void all_merge(std::vector<double>&, const char* name) override { record_.add("merge", name); }
  std::string broadcast(const std::string& text, int, const char*) override { return text; }
  std::vector<std::string> all_gather(const std::string& text, const char*) override {
    return std::vector<std::string>(static_cast<std::size_t>(size_), text);
  }
  std::unique_ptr<Communicator> split(int, int key, const char* name) override {
    const std::string group = name;
    const GridConfig& grid = record_.grid;
    const int size = group == "tensor group" ? grid.tensor : group == "data group" ? grid.data : grid.pipeline;
    return std::make_unique<Recorder>(record_, key, size);
  }

 private:
  struct Waited final : Request::State {
    Waited(Record& of, std::string with) : record(of), name(std::move(with)) {}
    bool ready() override { return record.ready; }
    void wait() override { record.add("wait", name); }
    Record& record;
    std::string name;
  };
  Record& record_;
  int rank_, size_;
};

constexpr const char* kGradients = "gradients over data ranks";
constexpr const char* kWeights = "updated weights";
constexpr int kLayers = 4, kOfLayer = 4;  // products of weights

struct Training {
  Training(GridConfig config, int rank, bool tied = true) : record(checked(config)) {
    model_config.layers = kLayers;
    model_config.hidden = 16;
    model_config.heads = 4;
    model_config.vocabulary = 64;
    model_config.context = 12;
    model_config.tied_embeddings = tied;
    model_config.check();
    batch_config.length = 12;
    world = std::make_unique<Recorder>(record, rank, record.grid.ranks());
    grid = std::make_unique<ProcessGrid>(*world, record.grid);
    context = std::make_unique<ModelContext>(ModelContext{*record.backend, *grid, model_config});
    model = std::make_unique<Model>(*context);
    trainer = std::make_unique<Trainer>(*model, batch_config, OptimizerConfig());
  }
  static GridConfig checked(GridConfig config) {
    config.check(0);
    return config;
  }
  GlobalBatch batch(int micro_batches) const {  // of each data shard
    GlobalBatch batch;
    batch.size = micro_batches * record.grid.data_shards;
    batch.load = [this](std::int64_t, int sequences) {
      MicroBatch tokens;
      tokens.sequences = sequences;
      tokens.length = batch_config.length;
      const auto count = static_cast<std::size_t>(sequences * tokens.length);
      tokens.tokens.resize(count), tokens.targets.resize(count), tokens.positions.resize(count);
      tokens.weights.assign(count, 1.0f);
      return tokens;
    };
    return batch;
  }
  void step(const std::vector<GlobalBatch>& parts) {
    record.events.clear();
    trainer->step(parts, 1e-3);
  }

  Record record;
  ModelConfig model_config;
  BatchConfig batch_config;
  std::unique_ptr<Communicator> world;
  std::unique_ptr<ProcessGrid> grid;
  std::unique_ptr<ModelContext> context;
  std::unique_ptr<Model> model;
  std::unique_ptr<Trainer> trainer;
};

GridConfig grid_of(int pipeline, int data, int data_shards, int virtual_stages = 1) {
  GridConfig config;
  config.pipeline = pipeline;
  config.data = data;
  config.data_shards = data_shards;
  config.virtual_stages = virtual_stages;
  return config;
}

// Head: norm and tied projection; then the layers; then positions and the embedding. How many products of weights were
// still to come when each left:
const std::vector<std::int64_t> kLeftToCome = {16, 16, 12, 8, 4, 0, 0, 0};

void expect_waits_before_the_norm(const Training& run) {
  const auto is = [](const std::string& what, const char* name) {
    return [=](const Event& event) { return event.what == what && event.name == name; };
  };
  const auto& events = run.record.events;
  const auto norm = std::find_if(events.begin(), events.end(), is("gather", "squares of gradient blocks"));
  EXPECT_EQ(std::count_if(events.begin(), norm, is("wait", kGradients)), std::ssize(kLeftToCome));
}

void expect_layer_by_layer(const Training& run) {
  std::vector<std::int64_t> to_come;
  for (const std::int64_t done : products_of(run.record.of("exchange", kGradients)))
    to_come.push_back(run.record.products("linear_weight_gradient") - done);
  EXPECT_EQ(to_come, kLeftToCome);
  expect_waits_before_the_norm(run);
}

TEST(Overlap, GradientsLeaveWhileTheLayersBelowGoBack) {
  Training run(grid_of(1, 2, 2), 1);
  run.step({run.batch(3)});
  expect_layer_by_layer(run);
}

TEST(Overlap, GradientsLeaveWithTheLastOfARanksDataShards) {
  Training run(grid_of(1, 2, 8), 0);
  run.step({run.batch(2)});
  expect_layer_by_layer(run);
}

// Where messages come late, the sum that is under way holds up the sums behind it, but not the backward.
TEST(Overlap, TheNormWaitsForSumsThatAreLate) {
  Training run(grid_of(1, 2, 2), 1);
  run.record.ready = false;
  run.step({run.batch(2)});
  expect_waits_before_the_norm(run);
  const std::vector<std::int64_t> begun = products_of(run.record.of("exchange", kGradients));
  const std::int64_t all = run.record.products("linear_weight_gradient");
  std::vector<std::int64_t> expected(kLeftToCome.size(), all);
  expected.front() = all - kLeftToCome.front();
  EXPECT_EQ(begun, expected);
}

TEST(Overlap, GradientsOfTwoPartsLeaveWithTheSecond) {
  Training run(grid_of(1, 2, 2), 0);
  run.step({run.batch(2), run.batch(1)});
  expect_layer_by_layer(run);
}

// With several chunks on a rank each one's gradients leave with its own last backward.
TEST(Overlap, GradientsLeaveBeforeTheLastChunkSendsItsInputsGradientOn) {
  Training run(grid_of(2, 2, 2, 2),
               2 + 1);  // second pipeline rank: chunks 1 and 3 of four, of which the last has the head
  run.step({run.batch(4)});
  const auto left = run.record.of("exchange", kGradients);
  EXPECT_EQ(left.size(), run.model->buffers().size());
  const auto sent_on = run.record.of("send", "gradients to stage 0");
  ASSERT_EQ(sent_on.size(), 4u);
  const auto& events = run.record.events;
  const auto last_send = std::find_if(events.rbegin(), events.rend(), [](const Event& event) {
                           return event.what == "send" && event.name == "gradients to stage 0";
                         }).base();
  const auto before = std::count_if(events.begin(), last_send, [](const Event& event) {
    return event.what == "exchange" && event.name == kGradients;
  });
  EXPECT_EQ(before, std::ssize(left));
}

TEST(Overlap, WeightsAreWaitedForWhereALayerFirstUsesThem) {
  Training run(grid_of(1, 2, 2), 0);
  run.step({run.batch(2)});
  const std::vector<Event> begun = run.record.of("exchange", kWeights);
  EXPECT_EQ(begun.size(), run.model->buffers().size() - 1);  // the tied ones are gathered once
  EXPECT_TRUE(run.record.of("wait", kWeights).empty()) << "the step does not wait for its own update";
  const std::int64_t before = run.record.products("linear");
  run.step({run.batch(2)});
  std::vector<std::int64_t> done;
  for (const std::int64_t products : products_of(run.record.of("wait", kWeights))) done.push_back(products - before);
  EXPECT_EQ(done, (std::vector<std::int64_t>{0, 0, 0, kOfLayer, 2 * kOfLayer, 3 * kOfLayer, 4 * kOfLayer}));
}

TEST(Overlap, WhateverElseLooksAtWeightsWaitsForThem) {
  const auto waited = [](const char* what, const auto& look) {
    Training run(grid_of(1, 2, 2), 0);
    run.step({run.batch(1)});
    run.record.events.clear();
    look(run);
    const std::size_t begun = run.model->buffers().size() - 1;
    std::vector<std::string> first;  // of what has to do with weights
    for (const Event& event : run.record.events)
      if (event.name == kWeights && first.size() < begun) first.push_back(event.what);
    EXPECT_EQ(first, std::vector<std::string>(begun, "wait")) << what;
  };
  waited("an evaluation", [](Training& run) { Evaluator(*run.model).outputs(run.batch(1)); });
  waited("parking", [](Training& run) { run.model->park(); });
  waited("a change", [](Training& run) { run.trainer->weights().edit("score/bias", [](std::span<float>) {}); });
}

using Steps = std::vector<std::pair<std::string, std::int64_t>>;

// What `name` begins and waits for, each with the products since the first one.
Steps steps_of(const Training& run, const std::string& name, std::size_t from, std::size_t count) {
  Steps steps;
  std::vector<Event> events;
  for (const Event& event : run.record.events)
    if (event.name == name) events.push_back(event);
  for (std::size_t i = from; i < std::min(from + count, events.size()); ++i)
    steps.emplace_back(events[i].what, events[i].all_products - events[from].all_products);
  return steps;
}

GridConfig tensor_ranks(int ranks, int shards, std::int64_t overlap_from) {
  GridConfig config;
  config.tensor = ranks;
  config.data = 1;
  config.tensor_shards = shards;
  config.overlap_from = overlap_from;
  return config;
}

// A product of three is under way with each transfer, and the own rows' with the first.
TEST(Overlap, RowsComeAndGoBesideTheProductsOfBlocks) {
  Training run(tensor_ranks(4, 4, 1), 1);
  run.step({run.batch(1)});
  EXPECT_EQ(steps_of(run, "layer_00/attention", 0, 6),
            (Steps{{"exchange", 0}, {"exchange", 0}, {"exchange", 0}, {"wait", 1}, {"wait", 2}, {"wait", 3}}));
  EXPECT_EQ(steps_of(run, "layer_00/attention/projection", 0, 6),
            (Steps{{"exchange", 0}, {"exchange", 1}, {"exchange", 2}, {"wait", 3}, {"wait", 3}, {"wait", 3}}));
  EXPECT_EQ(steps_of(run, "layer_00/mlp/down", 6, 6),  // backward
            (Steps{{"exchange", 0}, {"exchange", 0}, {"exchange", 0}, {"wait", 1}, {"wait", 2}, {"wait", 3}}));
}

TEST(Overlap, RowsComeRankByRankWhereARankHasSeveralBlocks) {
  Training run(tensor_ranks(2, 4, 1), 0);
  run.step({run.batch(1)});
  EXPECT_EQ(steps_of(run, "layer_00/mlp", 0, 2), (Steps{{"exchange", 0}, {"wait", 4}}));
  EXPECT_EQ(steps_of(run, "layer_00/mlp/down", 0, 2), (Steps{{"exchange", 0}, {"wait", 4}}));
}

// x comes beside the product for dx, which leaves beside the product for dw: whole, whatever is cut.
TEST(Overlap, GradientsOfRowsLeaveBesideTheProductsOfWeights) {
  for (const std::int64_t overlap_from : {0, 1})
    for (const char* name : {"layer_00/attention", "layer_00/mlp", "head"}) {
      Training run(tensor_ranks(4, 4, overlap_from), 2);
      run.step({run.batch(1)});
      EXPECT_EQ(steps_of(run, name, overlap_from == 0 ? 2 : 6, 4),
                (Steps{{"exchange", 0}, {"exchange", 1}, {"wait", 1}, {"wait", 2}}))
          << name;
    }
}

TEST(Overlap, SmallProductsAreNotCut) {
  Training run(tensor_ranks(4, 4, GridConfig().overlap_from), 0);
  run.step({run.batch(1)});
  EXPECT_EQ(steps_of(run, "layer_00/attention", 0, 2), (Steps{{"exchange", 0}, {"wait", 0}}));
  EXPECT_EQ(steps_of(run, "layer_00/attention/projection", 0, 2), (Steps{{"exchange", 0}, {"wait", 0}}));
}

}  // namespace
}  // namespace coxswain
