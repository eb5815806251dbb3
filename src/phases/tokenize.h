// Phase tokenize: text and JSONL files become a token file, and a second one of held-out tokens if the deck asks for
// it. A step is a fixed number of blocks of the input, dealt to the ranks in turn; the files are the same bytes for any
// number of ranks. Collective over the world.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "data/config.h"
#include "data/text_blocks.h"
#include "data/token_pieces.h"
#include "data/tokenizer.h"
#include "parallel/communicator.h"
#include "phases/phase.h"

namespace coxswain {

class Tokenize : public Phase {
 public:
  // chat: how records are shown.
  Tokenize(const DataConfig& config, const ChatConfig& chat, Communicator& world);

  std::string name() const override { return "tokenize"; }
  std::int64_t step() const override { return step_; }
  std::int64_t total_steps() const override { return (text_.blocks() + blocks_per_step_ - 1) / blocks_per_step_; }
  StepReport run_step() override;
  bool has_state() const override { return false; }
  void visit(Archive&) override {}
  void finish() override;  // joins the ranks' pieces into the token files

  // After finish(): a line a file with documents, tokens and bytes a token.
  std::string summary() const override { return summary_; }

 private:
  DataConfig config_;
  Communicator* world_;
  std::unique_ptr<Tokenizer> tokenizer_;
  TextBlocks text_;
  LeftOutLines left_out_;  // by this rank
  std::int64_t blocks_per_step_ = 1;
  std::int64_t step_ = 0;
  double bytes_ = 0, tokens_ = 0, documents_ = 0;  // of all ranks so far
  std::optional<PieceWriter> pieces_;
  std::string summary_;
};

}  // namespace coxswain
