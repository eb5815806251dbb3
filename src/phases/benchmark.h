// Phase benchmark: the deck's own training steps, then every operation's time beside its floor on this machine,
// measured in the same run: the library's products for the linear layers, copy bandwidth for the rest.
#pragma once

#include <memory>
#include <string>

#include "phases/pretrain.h"

namespace coxswain {

class Benchmark final : public Phase {
 public:
  Benchmark(const PretrainConfig& config, const ProcessGrid& grid, Backend& backend, Log& log);

  std::string name() const override { return "benchmark"; }
  std::int64_t step() const override { return training_.step(); }
  std::int64_t total_steps() const override { return training_.total_steps(); }
  void begin() override { training_.begin(); }
  StepReport run_step() override;
  bool has_state() const override { return false; }
  void visit(Archive&) override {}
  void finish() override;
  std::string summary() const override { return table_; }

 private:
  struct Floor {
    double seconds = 0, flops = 0;
  };
  Floor products_floor(LinearProduct product, std::int64_t micro_batches);

  PretrainConfig config_;
  const ProcessGrid& grid_;
  Backend& backend_;
  Pretrain training_;
  double seconds_ = 0;         // of the steps that count
  std::vector<double> steps_;  // seconds of each
  std::string table_;
};

}  // namespace coxswain
