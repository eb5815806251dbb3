// Phase prepare: files of prompts, demonstrations or comparisons, cleaned and split into files for training,
// validation and test, with a report of what was left out and why. data/cleaning.h has the rules.
//
// A step is an input file. Rank 0 does the work, in the order of the files; the outputs come into being at the end,
// each of them whole. Collective over the world.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "data/cleaning.h"
#include "data/tokenizer.h"
#include "parallel/communicator.h"
#include "phases/phase.h"

namespace coxswain {

struct PreparePhaseConfig {
  PrepareConfig prepare;
  DataConfig data;  // tokenizer, on_bad_line
  ChatConfig chat;
  std::uint64_t seed = 0;  // of the split
};

class Prepare final : public Phase {
 public:
  Prepare(const PreparePhaseConfig& config, Communicator& world, Log& log);

  std::string name() const override { return "prepare"; }
  std::int64_t step() const override { return step_; }
  std::int64_t total_steps() const override { return static_cast<std::int64_t>(files_.size()); }
  StepReport run_step() override;
  bool has_state() const override { return false; }
  void visit(Archive&) override {}
  void finish() override;
  std::string summary() const override { return summary_; }

 private:
  struct Output {
    std::string path, lines;
    std::int64_t records = 0;
  };
  void read_file(const std::string& path);
  std::int64_t kept() const;
  std::string report_text() const;
  std::string table() const;
  void write_all() const;

  PreparePhaseConfig config_;
  Communicator* world_;
  Log* log_;
  std::unique_ptr<Communicator> alone_;  // rank 0 reads without the others
  std::unique_ptr<Tokenizer> tokenizer_;
  ChatFormat chat_;
  Cleaning cleaning_;
  std::vector<std::string> files_;
  std::int64_t step_ = 0;
  std::array<Output, kSplitNames.size()> outputs_;  // by Split
  DropReport dropped_;
  RecordKind kind_;
  std::string summary_;
};

}  // namespace coxswain
