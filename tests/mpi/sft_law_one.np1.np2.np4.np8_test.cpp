// Law 1 for fine-tuning: packed demonstrations with text between them, dropout, validation by loss and by a reward
// model on a grid of its own give the metrics, the choice and the weights of one rank.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/random.h"
#include "collected_state.h"
#include "mpi_test.h"
#include "phases/sft.h"

namespace coxswain {
namespace {

constexpr int kLength = 48;

// On rank 0, which reads for all.
class Files {
 public:
  Files() : folder_(std::filesystem::temp_directory_path() / fmt::format("coxswain_sft_{}", world().size())) {
    std::filesystem::create_directories(folder_);
    write("train.jsonl", 0, 40);
    write("validation.jsonl", 40, 9);
  }
  std::string path(const char* name) const { return (folder_ / name).string(); }

 private:
  void write(const char* name, std::uint64_t first, std::uint64_t count) const {
    if (world().rank() == 0) {
      std::ofstream file(path(name));
      for (std::uint64_t i = first; i < first + count; ++i) {
        const std::string word(1 + uniform_integer({3, 0}, i, 6), static_cast<char>('a' + i % 7));
        file << fmt::format("{{\"prompt\": \"{}\", \"response\": \"{}!\"}}\n", word, word + word);
      }
    }
    world().barrier("files");
  }
  std::filesystem::path folder_;
};

SftPhaseConfig config_of(const Files& files, Precision precision, BestBy choose) {
  SftPhaseConfig config;
  ModelConfig& model = config.model;
  model.layers = 2;
  model.hidden = 16;
  model.heads = 4;
  model.vocabulary = 257;
  model.context = kLength;
  model.dropout = 0.2;
  model.initial_deviation = 0.1;
  model.precision = precision;
  config.reward_model = model;
  config.reward_model.head = HeadKind::scalar;
  config.reward_model.hidden = 24;
  model.check();
  config.reward_model.check();
  config.run.validate_every = 3;
  config.run.validation_batches = 2;
  config.batch.global = 4;
  config.batch.micro = 1;
  config.batch.length = kLength;
  config.optimizer.learning_rate = 1e-2;
  config.data.source = "synthetic";
  config.chat.user_prefix = "\n";
  config.chat.assistant_prefix = ":";
  config.generate.max_new_tokens = 3;
  config.sft.demonstrations = files.path("train.jsonl");
  config.sft.validation = files.path("validation.jsonl");
  config.sft.epochs = 2;
  config.sft.pretrain_share = 0.2;
  config.sft.choose = choose;
  config.sft.scored_prompts = 3;
  return config;
}

// Weights that depend on their name and place alone.
class MadeUpWeights final : public Archive {
 public:
  bool reading() const override { return true; }
  bool has(const std::string&) const override { return true; }
  void value(const std::string&, std::int64_t&) override {}
  void value(const std::string&, double&) override {}
  void value(const std::string&, std::string&) override {}
  void value(const std::string&, std::vector<double>&) override {}
  void tensor(const Piece& piece) override {
    const std::uint64_t stream = std::hash<std::string>()(piece.name);
    const std::int64_t columns = piece.global.elements() / piece.global[0],
                       own = piece.count.elements() / piece.count[0];
    const std::int64_t first_column = piece.global.rank() > 1 ? piece.offset[1] : 0;
    for (std::int64_t i = 0; i < piece.count.elements(); ++i) {
      const auto place = static_cast<std::uint64_t>((piece.offset[0] + i / own) * columns + first_column + i % own);
      piece.memory.as<float>()[i] = static_cast<float>(uniform_real({1, stream}, place) - 0.5);
    }
  }
};

struct Outcome {
  std::vector<std::pair<std::string, double>> metrics;
  std::int64_t steps = 0, best = 0;
  Collector::Boxes boxes;
};

Outcome run(SftPhaseConfig config, const ProcessGrid& grid, const GridConfig& reward_grid) {
  const auto backend = make_cpu_backend();
  config.reward_grid = reward_grid;
  Log log({.speaks = false, .speaker = ""});
  Sft phase(config, grid, *backend, log);
  MadeUpWeights weights;
  if (config.sft.choose == BestBy::reward) phase.load_reward_model(weights);
  phase.begin();
  Outcome outcome;
  while (phase.step() < phase.total_steps()) {
    const StepReport report = phase.run_step();
    outcome.metrics.insert(outcome.metrics.end(), report.metrics.begin(), report.metrics.end());
  }
  outcome.steps = phase.step();
  outcome.best = phase.best_step();
  Collector collector;
  phase.visit(collector);
  outcome.boxes = std::move(collector.boxes);
  return outcome;
}

GridConfig grid_of(int tensor, int pipeline, int data) {
  GridConfig grid;
  grid.tensor = tensor;
  grid.pipeline = pipeline;
  grid.data = data;
  grid.tensor_shards = 2;
  grid.data_shards = 4;
  grid.check(tensor * pipeline * data);
  return grid;
}

std::vector<GridConfig> all_grids() {
  std::vector<GridConfig> grids;
  for (int tensor = 1; tensor <= 2; ++tensor)
    for (int pipeline = 1; pipeline <= 2; ++pipeline) {
      const int data = world().size() / (tensor * pipeline);
      if (data >= 1 && data <= 4 && tensor * pipeline * data == world().size())
        grids.push_back(grid_of(tensor, pipeline, data));
    }
  return grids;
}

TEST(SftLawOne, EveryGridGivesTheBitsOfOneRank) {
  const Files files;
  for (const BestBy choose : {BestBy::reward, BestBy::loss}) {
    const Precision precision = choose == BestBy::reward ? Precision::fp32 : Precision::bf16;
    const SftPhaseConfig config = config_of(files, precision, choose);
    const GridConfig one = grid_of(1, 1, 1);
    const Outcome serial = run(config, ProcessGrid::planned(one, 0), one);
    EXPECT_GE(serial.steps, 4);
    EXPECT_GT(serial.best, 0);
    const std::vector<GridConfig> grids = all_grids();
    for (std::size_t g = 0; g < grids.size(); ++g) {
      const ProcessGrid grid(world(), grids[g]);
      const Outcome mine = run(config, grid, grids[(g + 1) % grids.size()]);
      EXPECT_EQ(mine.metrics, serial.metrics) << grid.coordinates();
      EXPECT_EQ(mine.best, serial.best);
      expect_same_boxes(mine.boxes, serial.boxes, grid.coordinates());
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace coxswain
