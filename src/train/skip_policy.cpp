#include "train/skip_policy.h"

#include <fmt/format.h>

#include "base/error.h"

namespace coxswain {

void SkipPolicy::see(const StepResult& result) {
  if (result.updated) {
    in_a_row_ = 0;
    return;
  }
  ++in_a_row_;
  const bool may_skip = config_.on_nan == NanPolicy::skip;
  if (may_skip && in_a_row_ <= config_.max_skips) return;
  throw Error(
      ExitCode::diverged,
      fmt::format("loss {} with gradient norm {} is not finite{}; restart from an earlier checkpoint "
                  "with a lower [optimizer] learning_rate{}",
                  result.loss, result.gradient_norm, may_skip ? fmt::format(" for {} steps in a row", in_a_row_) : "",
                  may_skip ? "" : ", or set on_nan = skip"))
      .on_every_rank();
}

}  // namespace coxswain
