#include "phases/sft_config.h"

#include "base/require.h"

namespace coxswain {

void SftConfig::check() const {
  require(epochs > 0, "[sft] epochs", epochs, "must be positive");
  require(pretrain_share >= 0 && pretrain_share <= 0.5, "[sft] pretrain_share", pretrain_share,
          "must be from 0 to 0.5: demonstrations are what the phase is for");
  require(scored_prompts >= 0, "[sft] scored_prompts", scored_prompts, "must not be negative; 0: all");
}

}  // namespace coxswain
