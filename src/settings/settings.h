// Everything that a deck says, typed and checked. Each struct belongs to the module that uses it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "data/cleaning.h"
#include "data/config.h"
#include "io/config.h"
#include "kernels/device.h"
#include "model/config.h"
#include "parallel/nccl_communicator.h"
#include "parallel/process_grid.h"
#include "phases/config.h"
#include "phases/machine.h"
#include "phases/reward_config.h"
#include "phases/sft_config.h"
#include "rl/ppo_config.h"
#include "settings/command_line.h"
#include "settings/phase_table.h"
#include "train/config.h"

namespace coxswain {

struct Settings {
  RunConfig run;
  ModelConfig model;
  GridConfig grid;
  BatchConfig batch;
  OptimizerConfig optimizer;
  DataConfig data;
  ChatConfig chat;
  PrepareConfig prepare;
  CheckpointConfig checkpoint;
  GenerateConfig generate;
  SftConfig sft;
  ModelConfig reward_model;  // layers = 0: as its checkpoint says
  GridConfig reward_grid;
  PpoConfig ppo;
  EvaluateConfig evaluate;
  RewardConfig reward;
  ScoreConfig score;
  DeviceConfig device;
  CommunicationConfig communication;  // section [device]
  MachineConfig machine;              // section [device]
};

// Reads, applies the overrides and checks. `ranks`: how many there are; 0: as many as the deck asks for (--check).
// `path` is for messages. Throws Error(usage); unknown keys and bad values are reported all at once, a line each.
Settings read_settings(const std::string& text, const std::string& path, const Overrides& overrides, int ranks);
Settings read_settings(const CommandLine& command, int ranks);  // reads the file: one rank alone

// Whether the phase trains or runs a model of [model]. Two files of scores are compared without one.
bool has_model(const Settings& settings);

// The [model] of an effective deck, as a checkpoint holds it; unchecked. Throws std::invalid_argument where a value is
// of another version of the program.
ModelConfig model_of_deck(const std::string& effective_deck);

}  // namespace coxswain
