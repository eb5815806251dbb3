// Phase vocabulary: learns a byte-level byte-pair encoding of [model] vocabulary tokens from the files of [data] input,
// for text that a published vocabulary does not fit, or for small models. A step counts the words of some blocks of the
// input, dealt to the ranks in turn; the files are the same bytes for any number of ranks. Collective over the world.
#pragma once

#include <cstdint>
#include <string>

#include "data/byte_pair_learner.h"
#include "data/config.h"
#include "data/text_blocks.h"
#include "parallel/communicator.h"
#include "phases/phase.h"

namespace coxswain {

class Vocabulary final : public Phase {
 public:
  // tokens: wanted, the end-of-document token included.
  Vocabulary(const DataConfig& config, const ChatConfig& chat, int tokens, Communicator& world);

  std::string name() const override { return "vocabulary"; }
  std::int64_t step() const override { return step_; }
  std::int64_t total_steps() const override { return (text_.blocks() + blocks_per_step_ - 1) / blocks_per_step_; }
  StepReport run_step() override;
  bool has_state() const override { return false; }
  void visit(Archive&) override {}
  void finish() override;  // learns, and writes [data] vocabulary_file and merges_file
  std::string summary() const override { return summary_; }

 private:
  DataConfig config_;
  int wanted_;
  Communicator* world_;
  TextBlocks text_;
  LeftOutLines left_out_;  // by this rank
  WordCounter words_;
  std::int64_t blocks_per_step_ = 1;
  std::int64_t step_ = 0;
  std::string summary_;
};

}  // namespace coxswain
