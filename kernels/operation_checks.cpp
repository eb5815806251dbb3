#include "kernels/operation_checks.h"

#include "kernels/operation.h"

namespace coxswain::checks {
namespace {

void check_dropout(const Operation& op, const DropoutSpec& dropout) {
  op.require(dropout.probability >= 0.0f && dropout.probability < 1.0f,
             "dropout probability " + std::to_string(dropout.probability) + " is not in [0, 1)");
}

}  // namespace

void transfer(const char* operation, const TensorView& view) { Operation(operation).dense("the view", view); }

void copy(const TensorView& src, const TensorView& dst) {
  const Operation op("copy");
  op.require(src.shape == dst.shape, "source is " + text(src) + ", destination " + text(dst));
  op.require(src.dtype == dst.dtype || (is_float(src.dtype) && is_float(dst.dtype)),
             std::string("no conversion from ") + name_of(src.dtype) + " to " + name_of(dst.dtype));
}

void linear(const TensorView& x, const TensorView& w, const TensorView& y, const LinearEpilogue& epilogue) {
  const Operation op("linear");
  op.matrix("x", x);
  op.matrix("w", w);
  const std::int64_t m = x.shape[0], n = w.shape[0], k = x.shape[1];
  op.require(w.shape[1] == k, "x is " + text(x) + " but w " + text(w) + ", expected as many columns");
  op.matrix("y", y, m, n);
  op.floating("x", x);
  op.type("w", w, x.dtype);
  op.beside("y", y, x.dtype);
  if (epilogue.bias) {
    op.vector("bias", epilogue.bias, n);
    op.beside("bias", epilogue.bias, x.dtype);
  }
  op.require((epilogue.activation == Activation::none) == epilogue.activated.empty(),
             "an activation needs a view `activated` for its result, and only an activation");
  if (epilogue.activated) {
    op.matrix("activated", epilogue.activated, m, n);
    op.type("activated", epilogue.activated, y.dtype);
  }
}

void linear_input_gradient(const TensorView& dy, const TensorView& w, const TensorView& dx,
                           const GradientEpilogue& epilogue) {
  const Operation op("linear_input_gradient");
  op.matrix("dy", dy);
  op.matrix("w", w);
  op.require(dy.shape[1] == w.shape[0], "dy is " + text(dy) + " but w " + text(w));
  op.matrix("dx", dx, dy.shape[0], w.shape[1]);
  op.floating("dy", dy);
  op.type("w", w, dy.dtype);
  op.beside("dx", dx, dy.dtype);
  op.require((epilogue.activation == Activation::none) == epilogue.pre_activation.empty(),
             "an activation needs a view `pre_activation`, and only an activation");
  if (epilogue.pre_activation) {
    op.matrix("pre_activation", epilogue.pre_activation, dx.shape[0], dx.shape[1]);
    op.type("pre_activation", epilogue.pre_activation, dx.dtype);
  }
}

void linear_weight_gradient(const TensorView& dy, const TensorView& x, const TensorView& dw) {
  const Operation op("linear_weight_gradient");
  op.matrix("dy", dy);
  op.matrix("x", x);
  op.require(dy.shape[0] == x.shape[0], "dy is " + text(dy) + " but x " + text(x) + ", expected as many rows");
  op.matrix("dw", dw, dy.shape[1], x.shape[1]);
  op.floating("dy", dy);
  op.type("x", x, dy.dtype);
  op.sum_type("dw", dw, dy.dtype);
}

void bias_gradient(const TensorView& dy, const TensorView& dbias) {
  const Operation op("bias_gradient");
  op.matrix("dy", dy);
  op.floating("dy", dy);
  op.vector("dbias", dbias, dy.shape[1]);
  op.sum_type("dbias", dbias, dy.dtype);
}

void residual_norm(const Backend::ResidualNorm& call) {
  const Operation op("residual_norm");
  op.matrix("x", call.x);
  op.floating("x", call.x);
  const std::int64_t m = call.x.shape[0], h = call.x.shape[1];
  op.require(call.delta.empty() == call.sum.empty(), "sum must be given with delta, and only with it");
  op.require(call.delta || call.bias.empty(), "bias is added to delta, which is empty");
  if (call.delta) {
    op.matrix("delta", call.delta, m, h);
    op.type("delta", call.delta, call.x.dtype);
    op.matrix("sum", call.sum, m, h);
    op.type("sum", call.sum, call.x.dtype);
    check_dropout(op, call.dropout);
  }
  if (call.bias) {
    op.vector("bias", call.bias, h);
    op.beside("bias", call.bias, call.x.dtype);
  }
  op.vector("gamma", call.gamma, h);
  op.beside("gamma", call.gamma, call.x.dtype);
  op.require((call.kind == NormKind::rms) == call.beta.empty(), "beta belongs to the layer norm, and only to it");
  if (call.beta) {
    op.vector("beta", call.beta, h);
    op.beside("beta", call.beta, call.x.dtype);
  }
  op.matrix("y", call.y, m, h);
  op.type("y", call.y, call.x.dtype);
  op.shape("stats", call.stats, {m, 2});
  op.dense("stats", call.stats);
  op.sum_type("stats", call.stats, call.x.dtype);
}

void norm_gradient(const Backend::NormGradient& call) {
  const Operation op("norm_gradient");
  op.matrix("x", call.x);
  op.floating("x", call.x);
  const std::int64_t m = call.x.shape[0], h = call.x.shape[1];
  op.vector("gamma", call.gamma, h);
  op.beside("gamma", call.gamma, call.x.dtype);
  op.shape("stats", call.stats, {m, 2});
  op.dense("stats", call.stats);
  op.sum_type("stats", call.stats, call.x.dtype);
  op.matrix("dy", call.dy, m, h);
  op.type("dy", call.dy, call.x.dtype);
  if (call.dresidual) {
    op.matrix("dresidual", call.dresidual, m, h);
    op.type("dresidual", call.dresidual, call.x.dtype);
  }
  op.matrix("dx", call.dx, m, h);
  op.type("dx", call.dx, call.x.dtype);
  op.vector("dgamma", call.dgamma, h);
  op.sum_type("dgamma", call.dgamma, call.x.dtype);
  op.require((call.kind == NormKind::rms) == call.dbeta.empty(), "dbeta belongs to the layer norm, and only to it");
  if (call.dbeta) {
    op.vector("dbeta", call.dbeta, h);
    op.sum_type("dbeta", call.dbeta, call.x.dtype);
  }
}

void residual_add(const TensorView& x, const TensorView& delta, const TensorView& bias, const DropoutSpec& dropout,
                  const TensorView& sum) {
  const Operation op("residual_add");
  op.matrix("x", x);
  op.floating("x", x);
  op.matrix("delta", delta, x.shape[0], x.shape[1]);
  op.type("delta", delta, x.dtype);
  if (bias) {
    op.vector("bias", bias, x.shape[1]);
    op.beside("bias", bias, x.dtype);
  }
  op.matrix("sum", sum, x.shape[0], x.shape[1]);
  op.type("sum", sum, x.dtype);
  check_dropout(op, dropout);
}

void dropout_gradient(const TensorView& dsum, const DropoutSpec& dropout, const TensorView& ddelta) {
  const Operation op("dropout_gradient");
  op.matrix("dsum", dsum);
  op.floating("dsum", dsum);
  op.matrix("ddelta", ddelta, dsum.shape[0], dsum.shape[1]);
  op.type("ddelta", ddelta, dsum.dtype);
  check_dropout(op, dropout);
}

void gated(const TensorView& gate, const TensorView& up, const TensorView& y) {
  const Operation op("gated");
  op.matrix("gate", gate);
  op.floating("gate", gate);
  op.matrix("up", up, gate.shape[0], gate.shape[1]);
  op.type("up", up, gate.dtype);
  op.matrix("y", y, gate.shape[0], gate.shape[1]);
  op.type("y", y, gate.dtype);
}

void gated_gradient(const TensorView& gate, const TensorView& up, const TensorView& dy, const TensorView& dgate,
                    const TensorView& dup) {
  const Operation op("gated_gradient");
  gated(gate, up, dy);
  op.matrix("dgate", dgate, gate.shape[0], gate.shape[1]);
  op.type("dgate", dgate, gate.dtype);
  op.matrix("dup", dup, gate.shape[0], gate.shape[1]);
  op.type("dup", dup, gate.dtype);
}

void rotary(const TensorView& heads, const TensorView& positions, int direction) {
  const Operation op("rotary");
  op.rank("heads", heads, 4);
  op.last_dense("heads", heads);
  op.floating("heads", heads);
  op.require(heads.shape[3] % 2 == 0, "the head size of " + text(heads) + " is odd");
  op.shape("positions", positions, {heads.shape[0], heads.shape[1]});
  op.integers("positions", positions, heads.shape[0] * heads.shape[1]);
  op.require(direction == 1 || direction == -1, "direction " + std::to_string(direction) + " is neither 1 nor -1");
}

void attention(const char* operation, const TensorView& q, const TensorView& k, const TensorView& v,
               const AttentionMask& mask, const TensorView& out, const TensorView& log_sum_exp) {
  const Operation op(operation);
  op.rank("q", q, 4);
  op.rank("k", k, 4);
  op.floating("q", q);
  const std::int64_t b = q.shape[0], t = q.shape[1], a = q.shape[2], d = q.shape[3], g = k.shape[2];
  op.require(g > 0 && a % g == 0,
             std::to_string(a) + " query heads are no multiple of " + std::to_string(g) + " key/value heads");
  op.shape("k", k, {b, t, g, d});
  op.shape("v", v, {b, t, g, d});
  op.shape("out", out, q.shape);
  op.type("k", k, q.dtype);
  op.type("v", v, q.dtype);
  op.type("out", out, q.dtype);
  op.last_dense("q", q);
  op.last_dense("k", k);
  op.last_dense("v", v);
  op.last_dense("out", out);
  op.shape("log_sum_exp", log_sum_exp, {b, a, t});
  op.dense("log_sum_exp", log_sum_exp);
  op.sum_type("log_sum_exp", log_sum_exp, q.dtype);
  op.require(mask.band >= 0, "the band " + std::to_string(mask.band) + " is negative");
  if (mask.document_start) {
    op.shape("document_start", mask.document_start, {b, t});
    op.integers("document_start", mask.document_start, b * t);
  }
}

void attention_gradient(const Backend::AttentionGradient& call) {
  const char* name = "attention_gradient";
  const Operation op(name);
  attention(name, call.q, call.k, call.v, call.mask, call.out, call.log_sum_exp);
  const auto like = [&op](const char* argument, const TensorView& view, const TensorView& model) {
    op.shape(argument, view, model.shape);
    op.type(argument, view, model.dtype);
    op.last_dense(argument, view);
  };
  like("dout", call.dout, call.q);
  like("dq", call.dq, call.q);
  like("dk", call.dk, call.k);
  like("dv", call.dv, call.v);
}

void embedding(const TensorView& tokens, const TensorView& table, const TensorView& y) {
  const Operation op("embedding");
  op.matrix("table", table);
  op.floating("table", table);
  op.matrix("y", y);
  op.require(y.shape[1] == table.shape[1], "table is " + text(table) + " but y " + text(y));
  op.floating("y", y);
  op.integers("tokens", tokens, y.shape[0]);
}

void embedding_gradient(const TensorView& tokens, const TensorView& dy, const TensorView& dtable) {
  const Operation op("embedding_gradient");
  op.matrix("dy", dy);
  op.floating("dy", dy);
  op.matrix("dtable", dtable);
  op.sum_type("dtable", dtable, dy.dtype);
  op.require(dy.shape[1] == dtable.shape[1], "dy is " + text(dy) + " but dtable " + text(dtable));
  op.integers("tokens", tokens, dy.shape[0]);
}

void cross_entropy_stats(const TensorView& logits, const TensorView& targets, std::int64_t valid,
                         const TensorView& stats) {
  const Operation op("cross_entropy_stats");
  op.matrix("logits", logits);
  op.floating("logits", logits);
  op.integers("targets", targets, logits.shape[0]);
  op.require(valid >= 0 && valid <= logits.shape[1],
             std::to_string(valid) + " valid columns in logits " + text(logits));
  op.shape("stats", stats, {logits.shape[0], 3});
  op.dense("stats", stats);
  op.sum_type("stats", stats, logits.dtype);
}

void cross_entropy_combine(const TensorView& stats, const TensorView& loss, const TensorView& log_sum_exp) {
  const Operation op("cross_entropy_combine");
  op.rank("stats", stats, 3);
  op.dense("stats", stats);
  op.shape("stats", stats, {stats.shape[0], stats.shape[1], 3});
  op.vector("loss", loss, stats.shape[1]);
  op.vector("log_sum_exp", log_sum_exp, stats.shape[1]);
  op.sum_type("stats", stats, stats.dtype);
  op.type("loss", loss, stats.dtype);
  op.type("log_sum_exp", log_sum_exp, stats.dtype);
}

void cross_entropy_gradient(const TensorView& targets, const TensorView& log_sum_exp, const TensorView& weight,
                            std::int64_t valid, const TensorView& logits) {
  const Operation op("cross_entropy_gradient");
  op.matrix("logits", logits);
  op.floating("logits", logits);
  const std::int64_t m = logits.shape[0];
  op.integers("targets", targets, m);
  op.vector("log_sum_exp", log_sum_exp, m);
  op.sum_type("log_sum_exp", log_sum_exp, logits.dtype);
  op.vector("weight", weight, m);
  op.sum_type("weight", weight, logits.dtype);
  op.require(valid >= 0 && valid <= logits.shape[1],
             std::to_string(valid) + " valid columns in logits " + text(logits));
}

void add(const TensorView& a, const TensorView& b, const TensorView& sum) {
  const Operation op("add");
  op.floating("a", a);
  op.dense("a", a);
  for (const auto& [name, view] : {std::pair("b", &b), std::pair("sum", &sum)}) {
    op.shape(name, *view, a.shape);
    op.type(name, *view, a.dtype);
    op.dense(name, *view);
  }
}

void weighted_sum(const TensorView& x, const TensorView& weight, const TensorView& out) {
  const Operation op("weighted_sum");
  op.rank("x", x, 1);
  op.vector("x", x, x.shape[0]);
  op.sum_type("x", x, x.dtype);
  op.vector("weight", weight, x.shape[0]);
  op.type("weight", weight, x.dtype);
  op.vector("out", out, 1);
  op.type("out", out, DType::f64);
}

void sum_of_squares(const TensorView& x, std::int64_t block, const TensorView& out) {
  const Operation op("sum_of_squares");
  op.rank("x", x, 1);
  op.vector("x", x, x.shape[0]);
  op.sum_type("x", x, x.dtype);
  op.require(block > 0, "a block of " + std::to_string(block) + " elements");
  op.vector("out", out, (x.shape[0] + block - 1) / block);
  op.type("out", out, DType::f64);
}

void ordered_sums(const TensorView& x, const TensorView& places, const TensorView& ends, const TensorView& out) {
  const Operation op("ordered_sums");
  for (const auto& [name, view] : {std::pair("x", &x), std::pair("places", &places), std::pair("ends", &ends)}) {
    op.rank(name, *view, 1);
    op.vector(name, *view, view->shape[0]);
  }
  op.type("x", x, DType::f64);
  op.type("places", places, DType::i32);
  op.type("ends", ends, DType::i32);
  op.vector("out", out, ends.shape[0]);
  op.type("out", out, DType::f64);
}

void clip(const Backend::Clip& call) {
  const Operation op("clip");
  for (const auto& [name, view] : {std::pair("squares", &call.squares), std::pair("loss", &call.loss),
                                   std::pair("norm", &call.norm), std::pair("scale", &call.scale)}) {
    op.vector(name, *view, 1);
    op.type(name, *view, DType::f64);
  }
  op.require(call.limit >= 0, "a limit of " + std::to_string(call.limit) + ", expected 0 or more");
}

void adamw(const Backend::AdamW& call) {
  const Operation op("adamw");
  op.vector("scale", call.scale, 1);
  op.type("scale", call.scale, DType::f64);
  op.rank("master", call.master, 1);
  const std::int64_t n = call.master.shape[0];
  for (const auto& [name, view] : {std::pair("gradient", &call.gradient), std::pair("master", &call.master),
                                   std::pair("moment1", &call.moment1), std::pair("moment2", &call.moment2)}) {
    op.vector(name, *view, n);
    op.type(name, *view, DType::f32);
  }
  if (call.working) {
    op.vector("working", call.working, n);
    op.type("working", call.working, DType::bf16);
  }
  op.require(call.step.step >= 1, "step " + std::to_string(call.step.step) + ", expected 1 or more");
}

void normal(const Backend::NormalFill& call) {
  const Operation op("normal");
  op.matrix("dst", call.dst);
  op.floating("dst", call.dst);
  op.require(
      call.first_row >= 0 && call.first_column >= 0 && call.first_column + call.dst.shape[1] <= call.global_columns,
      text(call.dst) + " at column " + std::to_string(call.first_column) + " does not fit into rows of " +
          std::to_string(call.global_columns));
}

}  // namespace coxswain::checks
