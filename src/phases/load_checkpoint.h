// Weights of another run: the best or newest whole checkpoint of a run directory, or a checkpoint's own folder.
#pragma once

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

// Collective. `what` is for the log: "weights of runs/sft/checkpoints/step_00000100 (step 100)". Returns what tells
// these weights from any others. Throws Error(data).
std::string load_checkpoint(const std::string& path, const char* what, const LoadContext& context, const Visit& visit,
                            WeightsKind kind = WeightsKind::model);

// Throws Error(data) if what is read is a reward model where a language model is wanted, or the other way round; `key`
// and `path` say where it comes from.
void require_head(HeadKind wanted, const Archive& archive, const char* key, const std::string& path);

}  // namespace coxswain
