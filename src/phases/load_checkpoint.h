// Weights of another run: the best or newest whole checkpoint of a run directory, or a checkpoint's own folder.
#pragma once

#include <optional>
#include <string>

#include "base/log.h"
#include "io/checkpoint_store.h"
#include "model/config.h"
#include "phases/config.h"

namespace coxswain {

struct LoadContext {
  Communicator& world;
  Backend& backend;
  Log& log;
};

struct ModelSource {
  std::string path;
  const char* key;               // that names it in the deck
  const char* what;              // for the log: "reference of runs/sft/checkpoints/step_00000100 (step 100)"
  std::optional<HeadKind> head;  // what it must be: a language model, a reward model; nothing: either
  WeightsKind kind = WeightsKind::model;
};

// "[ppo] reward_model = runs/reward"
std::string named(const ModelSource& source);

// What a run begins with.
ModelSource initial_weights(const RunConfig& run, std::optional<HeadKind> head, const char* what = "weights");

// Collective. Returns what tells these weights from any others. Throws Error(data).
std::string load_model(const ModelSource& source, const LoadContext& context, const Visit& visit);

}  // namespace coxswain
