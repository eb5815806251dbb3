// Keys of the phases that align a model: their data, fine-tuning, reward models, PPO, evaluation.
#include "settings/key_builder.h"
#include "settings/key_groups.h"

namespace coxswain {

void add_alignment_keys(std::vector<Key>& keys) {
  add_model(keys, "reward_model", &Settings::reward_model);
  add_grid(keys, "reward_grid", &Settings::reward_grid);
}

}  // namespace coxswain
