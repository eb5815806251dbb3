// Which activations are forgotten in forward and computed again in backward (Korthikanti et al. 2022).
#pragma once

namespace coxswain {

enum class Recompute { none, selective, full };  // nothing, attention's core, whole layers

}  // namespace coxswain
