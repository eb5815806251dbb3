// Published models by name. A key that the deck gives overrides the preset's value.
#pragma once

#include <string>
#include <vector>

#include "model/config.h"

namespace coxswain {

// The published shape; sizes that follow from others (head_size, feed_forward) are still 0 until check(), so that an
// override of hidden carries over to them. Throws Error(usage) that lists the names if there is none of that name.
ModelConfig model_preset(const std::string& name);

std::vector<std::string> model_preset_names();  // in the order of publication and size, "custom" first

}  // namespace coxswain
