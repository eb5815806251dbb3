// Supervised fine-tuning as the deck describes it: section [sft].
#pragma once

#include <string>

namespace coxswain {

// Which weights of the run are its result.
enum class BestBy {
  last,    // those after the last step
  loss,    // those with the lowest loss on the validation's responses
  reward,  // those whose responses to validation prompts a reward model likes best (Ouyang et al. 2022, appendix C.1)
};

struct SftConfig {
  std::string demonstrations;  // JSONL, to train on
  std::string validation;      // JSONL, held out; empty: none
  int epochs = 16;             // over the demonstrations, where run.steps = 0
  bool packing = true;         // several demonstrations in a sequence, each a document of its own
  double pretrain_share = 0;   // of the sequences that is pre-training text, from data.source

  BestBy choose = BestBy::last;
  std::string reward_model;        // a checkpoint, for choose = reward
  std::string validation_prompts;  // JSONL of prompts to respond to; empty: those of `validation`
  int scored_prompts = 256;        // the first so many of them; 0: all

  void check() const;

  friend bool operator==(const SftConfig&, const SftConfig&) = default;
};

}  // namespace coxswain
