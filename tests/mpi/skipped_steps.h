// Steps whose loss or gradient is not finite, between steps that are fine: every rank leaves them out, they change
// nothing and do not count, whatever the grid and wherever its memory lies.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <functional>
#include <limits>

#include "collected_state.h"
#include "model/model.h"
#include "train/trainer.h"

namespace coxswain {

// Terms and gradient of one number each.
class FixedObjective final : public Objective {
 public:
  FixedObjective(double term, double gradient) : term_(term), gradient_(gradient) {}
  int terms() const override { return 1; }
  void evaluate(Backend& backend, TensorView, const Batch&, TensorView terms, TensorView gradient) const override {
    backend.fill(terms, term_);
    backend.fill(gradient, gradient_);
  }

 private:
  double term_, gradient_;
};

struct Step {
  enum class Kind { fine, bad_loss, endless_loss, bad_gradient, endless_gradient, one_bad_token } kind = Kind::fine;
  bool loss_is_finite() const {
    return kind == Kind::fine || kind == Kind::bad_gradient || kind == Kind::endless_gradient;
  }
  bool norm_is_finite() const { return kind == Kind::fine || kind == Kind::bad_loss || kind == Kind::endless_loss; }
};

inline constexpr int kStepLength = 8;

inline ModelConfig model_of_steps(Precision precision) {
  ModelConfig model;
  model.layers = 2;
  model.hidden = 12;  // rows of a shard are no multiple of the sixteen bytes that wide loads ask for
  model.heads = 2;
  model.vocabulary = 30;
  model.context = kStepLength;
  model.vocabulary_multiple = 8;
  model.initial_deviation = 0.4;
  model.precision = precision;
  model.check();
  return model;
}

inline GlobalBatch batch_of_steps(std::int64_t step, bool bad_token) {
  GlobalBatch batch;
  batch.step = step;
  batch.size = 2;
  batch.divisor = 16;
  batch.load = [step, bad_token](std::int64_t first, int count) {
    MicroBatch micro;
    micro.sequences = count;
    micro.length = kStepLength;
    for (std::int64_t i = first * kStepLength; i < (first + count) * kStepLength; ++i) {
      micro.tokens.push_back(static_cast<std::int32_t>((i + step) * 7 % 30));
      micro.targets.push_back(static_cast<std::int32_t>((i + step) * 11 % 30));
      micro.weights.push_back(bad_token && i == 13 ? std::numeric_limits<float>::quiet_NaN() : 1.0f);
      micro.positions.push_back(static_cast<std::int32_t>(i % kStepLength));
    }
    return micro;
  };
  return batch;
}

struct Life {
  std::vector<double> numbers;  // of steps that were fine
  Collector::Boxes boxes;
  std::int64_t updates = 0;
};

using AroundStep = std::function<void(const std::function<void()>& step)>;

// The fine steps are numbered, the others are strewn in.
inline Life live(Backend& backend, const ProcessGrid& grid, const ModelConfig& config, const std::vector<Step>& steps,
                 const AroundStep& around) {
  const ModelContext context{backend, grid, config};
  Model model(context);
  OptimizerConfig optimizer;
  optimizer.clip_norm = 0.5;
  Trainer trainer(model, BatchConfig(), optimizer);
  trainer.weights().initialise(5);
  Life life;
  std::int64_t number = 0;
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN(), kEndless = std::numeric_limits<double>::infinity();
  for (const Step& step : steps) {
    const bool fine = step.kind == Step::Kind::fine;
    if (fine) ++number;
    const FixedObjective bad(step.kind == Step::Kind::bad_loss       ? kNone
                             : step.kind == Step::Kind::endless_loss ? -kEndless
                                                                     : 1,
                             step.kind == Step::Kind::bad_gradient       ? kNone
                             : step.kind == Step::Kind::endless_gradient ? kEndless
                                                                         : 1);
    const GlobalBatch batch = batch_of_steps(number, step.kind == Step::Kind::one_bad_token);
    GlobalBatch other = batch;
    if (!fine && step.kind != Step::Kind::one_bad_token) other.objective = &bad;
    const std::array parts{batch, other};
    StepResult result;
    around([&] { result = trainer.step(parts, 1e-2); });
    const std::string where = grid.coordinates() + ", kind " + std::to_string(static_cast<int>(step.kind));
    EXPECT_EQ(result.updated, fine) << where;
    EXPECT_EQ(std::isfinite(result.loss), step.loss_is_finite()) << where << ": " << result.loss;
    EXPECT_EQ(std::isfinite(result.gradient_norm), step.norm_is_finite()) << where << ": " << result.gradient_norm;
    if (!fine) continue;
    for (const auto& terms : result.terms) life.numbers.insert(life.numbers.end(), terms.begin(), terms.end());
    life.numbers.push_back(result.loss);
    life.numbers.push_back(result.gradient_norm);
  }
  Collector collector(&backend);
  trainer.visit(collector);
  life.boxes = std::move(collector.boxes);
  life.updates = collector.counts.at("optimizer/updates");
  return life;
}

inline std::vector<Step> fine_steps() { return {{}, {}}; }
inline std::vector<Step> mixed_steps() {
  using Kind = Step::Kind;
  return {{Kind::bad_gradient},  {}, {Kind::bad_loss},         {Kind::endless_loss},
          {Kind::one_bad_token}, {}, {Kind::endless_gradient}, {Kind::bad_loss}};
}

inline void expect_same_life(const Life& mine, const Life& expected, const std::string& where) {
  EXPECT_EQ(mine.numbers, expected.numbers) << where;
  EXPECT_EQ(mine.updates, expected.updates) << where;
  expect_same_boxes(mine.boxes, expected.boxes, where);
}

// On every grid of so many ranks.
inline std::vector<GridConfig> grids_of_steps(int ranks) {
  std::vector<GridConfig> grids;
  for (int tensor = 1; tensor <= 2; ++tensor)
    for (int pipeline = 1; pipeline <= 2; ++pipeline) {
      GridConfig grid;
      grid.tensor = tensor, grid.pipeline = pipeline, grid.data = ranks / (tensor * pipeline);
      grid.tensor_shards = 2, grid.data_shards = 2;
      if (grid.ranks() == ranks && grid.data <= 2) grids.push_back(grid);
    }
  return grids;
}

inline GridConfig serial_grid_of_steps() {
  GridConfig one;
  one.data = 1, one.tensor_shards = 2, one.data_shards = 2;
  return one;
}

}  // namespace coxswain
