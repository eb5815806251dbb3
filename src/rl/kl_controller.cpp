#include "rl/kl_controller.h"

#include <algorithm>
#include <cmath>

namespace coxswain {

void KlController::update(double divergence, std::int64_t episodes) {
  if (target_ <= 0 || std::isnan(divergence)) return;
  const double error = std::clamp(divergence / target_ - 1, -kMostError, kMostError);
  coefficient_ *= 1 + error * static_cast<double>(episodes) / horizon_;
}

void KlController::visit(Archive& archive) {
  double stored = coefficient_;
  archive.value("ppo/kl_coefficient", stored);
  if (target_ > 0) coefficient_ = stored;
}

}  // namespace coxswain
