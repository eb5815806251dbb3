#include "model/head.h"

#include "model/language_head.h"
#include "model/scalar_head.h"

namespace coxswain {

Head::Head(const ModelContext& context) : context_(context) {
  if (context.config.norm_position == NormPosition::pre) norm_.emplace(context, "final_norm");
}

Tensor Head::normalise(Tensor x, Saved& saved) {
  return norm_ ? norm_->forward(std::move(x), saved.norm) : std::move(x);
}

Tensor Head::normalise_backward(Tensor dy, Saved& saved) {
  return norm_ ? norm_->backward(dy, {}, saved.norm) : std::move(dy);
}

std::unique_ptr<Head> make_head(const ModelContext& context) {
  if (context.config.head == HeadKind::scalar) return std::make_unique<ScalarHead>(context);
  return std::make_unique<LanguageHead>(context);
}

}  // namespace coxswain
