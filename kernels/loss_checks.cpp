// What the losses of alignment ask of their arguments, see operation_checks.h.
#include <utility>

#include "kernels/operation.h"
#include "kernels/operation_checks.h"

namespace coxswain::checks {
namespace {

using Named = std::pair<const char*, const TensorView*>;

// Vectors of one length and one type, f32 or f64: that of the first.
void alike(const Operation& op, std::initializer_list<Named> vectors) {
  const auto& [first_name, first] = *vectors.begin();
  op.rank(first_name, *first, 1);
  op.sum_type(first_name, *first, first->dtype);
  for (const auto& [name, view] : vectors) {
    op.vector(name, *view, first->shape[0]);
    op.type(name, *view, first->dtype);
  }
}

void terms_of(const Operation& op, const TensorView& terms, std::int64_t count) {
  op.vector("terms", terms, count);
  op.type("terms", terms, DType::f64);
}

}  // namespace

void policy_loss(const Backend::PolicyLoss& call) {
  const Operation op("policy_loss");
  alike(op, {{"token_loss", &call.token_loss},
             {"old_log_probs", &call.old_log_probs},
             {"advantages", &call.advantages},
             {"weights", &call.weights},
             {"gradient", &call.gradient}});
  op.require(call.clip > 0, "clip " + std::to_string(call.clip) + ", expected more than 0");
  terms_of(op, call.terms, 4);
}

void value_loss(const Backend::ValueLoss& call) {
  const Operation op("value_loss");
  alike(op, {{"values", &call.values},
             {"old_values", &call.old_values},
             {"returns", &call.returns},
             {"weights", &call.weights},
             {"gradient", &call.gradient}});
  op.require(call.clip >= 0, "clip " + std::to_string(call.clip) + ", expected 0 (none) or more");
  terms_of(op, call.terms, 2);
}

void ranking_loss(const Backend::RankingLoss& call) {
  const Operation op("ranking_loss");
  op.rank("scores", call.scores, 2);
  op.sum_type("scores", call.scores, call.scores.dtype);
  op.dense("scores", call.scores);
  op.shape("ranks", call.ranks, call.scores.shape);
  op.integers("ranks", call.ranks, call.scores.elements());
  op.vector("group_weights", call.group_weights, call.scores.shape[0]);
  op.type("group_weights", call.group_weights, call.scores.dtype);
  op.shape("gradient", call.gradient, call.scores.shape);
  op.type("gradient", call.gradient, call.scores.dtype);
  op.dense("gradient", call.gradient);
  terms_of(op, call.terms, 3);
}

void scalar_projection(const TensorView& y, const TensorView& w, const TensorView& bias, const TensorView& out) {
  const Operation op("scalar_projection");
  op.matrix("y", y);
  op.floating("y", y);
  op.vector("w", w, y.shape[1]);
  op.beside("w", w, y.dtype);
  if (bias) {
    op.vector("bias", bias, 1);
    op.beside("bias", bias, y.dtype);
  }
  op.vector("out", out, y.shape[0]);
  op.sum_type("out", out, y.dtype);
}

void scalar_projection_gradient(const Backend::ScalarProjectionGradient& call) {
  const Operation op("scalar_projection_gradient");
  op.matrix("y", call.y);
  op.floating("y", call.y);
  op.vector("w", call.w, call.y.shape[1]);
  op.beside("w", call.w, call.y.dtype);
  op.vector("dout", call.dout, call.y.shape[0]);
  op.sum_type("dout", call.dout, call.y.dtype);
  op.matrix("dy", call.dy, call.y.shape[0], call.y.shape[1]);
  op.type("dy", call.dy, call.y.dtype);
  op.vector("dw", call.dw, call.y.shape[1]);
  op.sum_type("dw", call.dw, call.y.dtype);
  if (call.dbias) {
    op.vector("dbias", call.dbias, 1);
    op.sum_type("dbias", call.dbias, call.y.dtype);
  }
}

void blend(const TensorView& x, const TensorView& target) {
  alike(Operation("blend"), {{"target", &target}, {"x", &x}});
}

}  // namespace coxswain::checks
