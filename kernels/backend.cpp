// The public operations: check, count, do.
#include "kernels/backend.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/operation_checks.h"

namespace coxswain {
namespace {

// Least traffic: every operand goes through memory once.
template <class... Views>
double traffic(const Views&... views) {
  return (0.0 + ... + (views ? static_cast<double>(views.bytes()) : 0.0));
}

double product_flops(std::int64_t m, std::int64_t n, std::int64_t k) {
  return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
}

// Multiply-adds over the pairs of query and key that causality and the band leave; document borders are not counted.
double attention_flops(const TensorView& q, const AttentionMask& mask, double products) {
  const auto t = static_cast<double>(q.shape[1]);
  const double band = mask.band == 0 ? t : std::min(t, static_cast<double>(mask.band));
  const double pairs = band * (band + 1) / 2 + (t - band) * band;
  return 2.0 * products * static_cast<double>(q.shape[0] * q.shape[2] * q.shape[3]) * pairs;
}

}  // namespace

class Backend::Measure {
 public:
  Measure(Backend& backend, const char* operation, double flops, double bytes)
      : backend_(backend), cost_(backend.costs_[operation]) {
    ++cost_.calls;
    cost_.flops += flops;
    cost_.bytes += bytes;
  }

  template <class Operation>
  void run(const Operation& operation) {
    if (!backend_.timer_) return operation();
    const std::size_t begun = backend_.timer_->begin();
    operation();
    backend_.timer_->end(begun, cost_.seconds);
  }

 private:
  Backend& backend_;
  OperationCost& cost_;
};

const std::map<std::string, OperationCost>& Backend::costs() const {
  if (timer_) timer_->settle();
  return costs_;
}

void Backend::reset_costs() {
  if (timer_) timer_->settle();  // it adds to what goes
  costs_.clear();
}

void Backend::set_timing(bool on) {
  if (timer_) timer_->settle();
  timer_ = on ? make_timer() : nullptr;
}

// ---- memory

void Backend::upload(const void* host, TensorView dst) {
  checks::transfer("upload", dst);
  require_unrecorded("upload");
  before_change(dst);
  Measure(*this, "upload", 0, traffic(dst)).run([&] { do_upload(host, dst); });
}

void Backend::begin_upload(const void* host, TensorView dst) {
  checks::transfer("upload", dst);
  require_unrecorded("upload");
  before_change(dst);
  Measure(*this, "upload", 0, traffic(dst)).run([&] { do_begin_upload(host, dst); });
}

void Backend::download(TensorView src, void* host) {
  checks::transfer("download", src);
  require_unrecorded("download");
  Measure(*this, "download", 0, traffic(src)).run([&] { do_download(src, host); });
}

void Backend::begin_download(TensorView src, void* host) {
  checks::transfer("download", src);
  require_unrecorded("download");
  Measure(*this, "download", 0, traffic(src)).run([&] { do_begin_download(src, host); });
}

void Backend::download_aside(TensorView src, void* host, BackgroundDownloads::Done done) {
  if (downloads_aside()) {
    checks::transfer("download", src);
    const Measure counted(*this, "download", 0, traffic(src));
    begin_download_aside();
    return downloads_.add(src, host, std::move(done));
  }
  std::exception_ptr error;
  try {
    download(src, host);
  } catch (...) {
    error = std::current_exception();
  }
  done(error);
}

void Backend::join_aside() {
  if (aside_) throw std::logic_error("work that goes on aside cannot wait for itself");
  do_join_aside();
}

void Backend::copy(TensorView src, TensorView dst) {
  checks::copy(src, dst);
  before_change(dst);
  Measure(*this, "copy", 0, traffic(src, dst)).run([&] { do_copy(src, dst); });
}

void Backend::fill(TensorView dst, double value) {
  before_change(dst);
  Measure(*this, "fill", 0, traffic(dst)).run([&] { do_fill(dst, value); });
}

// ---- linear

void Backend::linear(TensorView x, TensorView w, TensorView y, const LinearEpilogue& epilogue) {
  checks::linear(x, w, y, epilogue);
  Measure(*this, "linear", product_flops(x.shape[0], w.shape[0], x.shape[1]),
          traffic(x, w, y, epilogue.bias, epilogue.activated))
      .run([&] { do_linear(x, w, y, epilogue); });
}

void Backend::linear_input_gradient(TensorView dy, TensorView w, TensorView dx, const GradientEpilogue& epilogue) {
  checks::linear_input_gradient(dy, w, dx, epilogue);
  Measure(*this, "linear_input_gradient", product_flops(dy.shape[0], w.shape[0], w.shape[1]),
          traffic(dy, w, dx, epilogue.pre_activation))
      .run([&] { do_linear_input_gradient(dy, w, dx, epilogue); });
}

void Backend::linear_weight_gradient(TensorView dy, TensorView x, TensorView dw) {
  checks::linear_weight_gradient(dy, x, dw);
  Measure(*this, "linear_weight_gradient", product_flops(dy.shape[0], dw.shape[0], dw.shape[1]), traffic(dy, x, dw, dw))
      .run([&] { do_linear_weight_gradient(dy, x, dw); });
}

void Backend::bias_gradient(TensorView dy, TensorView dbias) {
  checks::bias_gradient(dy, dbias);
  Measure(*this, "bias_gradient", 0, traffic(dy, dbias, dbias)).run([&] { do_bias_gradient(dy, dbias); });
}

// ---- residual stream, norms, activations, positions

void Backend::residual_norm(const ResidualNorm& op) {
  checks::residual_norm(op);
  Measure(*this, "residual_norm", 0, traffic(op.x, op.delta, op.bias, op.gamma, op.beta, op.sum, op.y, op.stats))
      .run([&] { do_residual_norm(op); });
}

void Backend::norm_gradient(const NormGradient& op) {
  checks::norm_gradient(op);
  Measure(*this, "norm_gradient", 0,
          traffic(op.x, op.gamma, op.stats, op.dy, op.dresidual, op.dx, op.dgamma, op.dgamma, op.dbeta, op.dbeta))
      .run([&] { do_norm_gradient(op); });
}

void Backend::residual_add(TensorView x, TensorView delta, TensorView bias, const DropoutSpec& dropout,
                           TensorView sum) {
  checks::residual_add(x, delta, bias, dropout, sum);
  Measure(*this, "residual_add", 0, traffic(x, delta, bias, sum)).run([&] {
    do_residual_add(x, delta, bias, dropout, sum);
  });
}

void Backend::dropout_gradient(TensorView dsum, const DropoutSpec& dropout, TensorView ddelta) {
  checks::dropout_gradient(dsum, dropout, ddelta);
  Measure(*this, "dropout_gradient", 0, traffic(dsum, ddelta)).run([&] { do_dropout_gradient(dsum, dropout, ddelta); });
}

void Backend::gated(Activation activation, TensorView gate, TensorView up, TensorView y) {
  checks::gated(gate, up, y);
  Measure(*this, "gated", 0, traffic(gate, up, y)).run([&] { do_gated(activation, gate, up, y); });
}

void Backend::gated_gradient(Activation activation, TensorView gate, TensorView up, TensorView dy, TensorView dgate,
                             TensorView dup) {
  checks::gated_gradient(gate, up, dy, dgate, dup);
  Measure(*this, "gated_gradient", 0, traffic(gate, up, dy, dgate, dup)).run([&] {
    do_gated_gradient(activation, gate, up, dy, dgate, dup);
  });
}

void Backend::rotary(TensorView heads, TensorView positions, double base, int direction) {
  checks::rotary(heads, positions, direction);
  Measure(*this, "rotary", 0, traffic(heads, heads, positions)).run([&] {
    do_rotary(heads, positions, base, direction);
  });
}

// ---- attention. Forward: q k^T and p v. Gradient: q k^T again, dv = p^T dout, dp = dout v^T, dq and dk from ds.

void Backend::attention(TensorView q, TensorView k, TensorView v, const AttentionMask& mask, float scale,
                        TensorView out, TensorView log_sum_exp) {
  checks::attention("attention", q, k, v, mask, out, log_sum_exp);
  Measure(*this, "attention", attention_flops(q, mask, 2), traffic(q, k, v, mask.document_start, out, log_sum_exp))
      .run([&] { do_attention(q, k, v, mask, scale, out, log_sum_exp); });
}

void Backend::attention_gradient(const AttentionGradient& op) {
  checks::attention_gradient(op);
  Measure(*this, "attention_gradient", attention_flops(op.q, op.mask, 5),
          traffic(op.q, op.k, op.v, op.out, op.log_sum_exp, op.dout, op.mask.document_start, op.dq, op.dk, op.dv))
      .run([&] { do_attention_gradient(op); });
}

// ---- embedding: of the table, as many rows as there are tokens pass through memory

void Backend::embedding(TensorView tokens, TensorView table, std::int64_t first_row, TensorView y) {
  checks::embedding(tokens, table, y);
  Measure(*this, "embedding", 0, traffic(tokens, y, y)).run([&] { do_embedding(tokens, table, first_row, y); });
}

void Backend::embedding_gradient(TensorView tokens, TensorView dy, std::int64_t first_row, TensorView dtable) {
  checks::embedding_gradient(tokens, dy, dtable);
  const double rows = 2.0 * static_cast<double>(dy.elements()) * static_cast<double>(size_of(dtable.dtype));
  Measure(*this, "embedding_gradient", 0, traffic(tokens, dy) + rows).run([&] {
    do_embedding_gradient(tokens, dy, first_row, dtable);
  });
}

// ---- cross-entropy

void Backend::cross_entropy_stats(TensorView logits, TensorView targets, std::int64_t first_column, std::int64_t valid,
                                  TensorView stats) {
  checks::cross_entropy_stats(logits, targets, valid, stats);
  Measure(*this, "cross_entropy_stats", 0, traffic(logits, targets, stats)).run([&] {
    do_cross_entropy_stats(logits, targets, first_column, valid, stats);
  });
}

void Backend::cross_entropy_combine(TensorView stats, TensorView loss, TensorView log_sum_exp) {
  checks::cross_entropy_combine(stats, loss, log_sum_exp);
  Measure(*this, "cross_entropy_combine", 0, traffic(stats, loss, log_sum_exp)).run([&] {
    do_cross_entropy_combine(stats, loss, log_sum_exp);
  });
}

void Backend::cross_entropy_gradient(TensorView targets, TensorView log_sum_exp, TensorView weight,
                                     std::int64_t first_column, std::int64_t valid, TensorView logits) {
  checks::cross_entropy_gradient(targets, log_sum_exp, weight, valid, logits);
  Measure(*this, "cross_entropy_gradient", 0, traffic(targets, log_sum_exp, weight, logits, logits)).run([&] {
    do_cross_entropy_gradient(targets, log_sum_exp, weight, first_column, valid, logits);
  });
}

// ---- losses of alignment

void Backend::policy_loss(const PolicyLoss& op) {
  checks::policy_loss(op);
  Measure(*this, "policy_loss", 0, traffic(op.token_loss, op.old_log_probs, op.advantages, op.weights, op.gradient))
      .run([&] { do_policy_loss(op); });
}

void Backend::value_loss(const ValueLoss& op) {
  checks::value_loss(op);
  Measure(*this, "value_loss", 0, traffic(op.values, op.old_values, op.returns, op.weights, op.gradient)).run([&] {
    do_value_loss(op);
  });
}

void Backend::ranking_loss(const RankingLoss& op) {
  checks::ranking_loss(op);
  Measure(*this, "ranking_loss", 0, traffic(op.scores, op.ranks, op.group_weights, op.gradient)).run([&] {
    do_ranking_loss(op);
  });
}

void Backend::scalar_projection(TensorView y, TensorView w, TensorView bias, TensorView out) {
  checks::scalar_projection(y, w, bias, out);
  Measure(*this, "scalar_projection", 0, traffic(y, w, bias, out)).run([&] { do_scalar_projection(y, w, bias, out); });
}

void Backend::scalar_projection_gradient(const ScalarProjectionGradient& op) {
  checks::scalar_projection_gradient(op);
  Measure(*this, "scalar_projection_gradient", 0, traffic(op.dout, op.y, op.w, op.dy, op.dw, op.dw, op.dbias, op.dbias))
      .run([&] { do_scalar_projection_gradient(op); });
}

// ---- decoding: of the cache, the slots' own keys and values pass through memory; how many there are only the rows
// know

void Backend::linear_rows(TensorView x, TensorView w, TensorView bias, Activation activation, TensorView y) {
  checks::linear_rows(x, w, bias, y);
  const double bytes = traffic(x, bias, y) + static_cast<double>(weight_bytes(x.shape[0], w));
  Measure(*this, "linear_rows", product_flops(x.shape[0], w.shape[0], x.shape[1]), bytes).run([&] {
    do_linear_rows(x, w, bias, activation, y);
  });
}

void Backend::cached_attention(const CachedAttention& op) {
  checks::cached_attention(op);
  Measure(*this, "cached_attention", 0, traffic(op.q, op.k, op.v, op.k, op.v, op.out)).run([&] {
    do_cached_attention(op);
  });
}

void Backend::sample(const Sample& op) {
  checks::sample(op);
  Measure(*this, "sample", 0, traffic(op.logits, op.uniform, op.tokens, op.log_probs)).run([&] { do_sample(op); });
}

// ---- sums, updates, random

void Backend::add(TensorView a, TensorView b, TensorView sum) {
  checks::add(a, b, sum);
  Measure(*this, "add", 0, traffic(a, b, sum)).run([&] { do_add(a, b, sum); });
}

void Backend::weighted_sum(TensorView x, TensorView weight, TensorView out) {
  checks::weighted_sum(x, weight, out);
  Measure(*this, "weighted_sum", 0, traffic(x, weight, out)).run([&] { do_weighted_sum(x, weight, out); });
}

void Backend::blend(TensorView x, double weight, TensorView target) {
  checks::blend(x, target);
  before_change(target);
  Measure(*this, "blend", 0, traffic(x, target, target)).run([&] { do_blend(x, weight, target); });
}

void Backend::sum_of_squares(TensorView x, std::int64_t block, TensorView out) {
  checks::sum_of_squares(x, block, out);
  Measure(*this, "sum_of_squares", 0, traffic(x, out)).run([&] { do_sum_of_squares(x, block, out); });
}

void Backend::ordered_sums(TensorView x, TensorView places, TensorView ends, TensorView out) {
  checks::ordered_sums(x, places, ends, out);
  const double taken = static_cast<double>(places.elements()) * static_cast<double>(size_of(DType::f64));
  Measure(*this, "ordered_sums", 0, traffic(places, ends, out) + taken).run([&] {
    do_ordered_sums(x, places, ends, out);
  });
}

void Backend::clip(const Clip& op) {
  checks::clip(op);
  Measure(*this, "clip", 0, traffic(op.squares, op.loss, op.norm, op.scale)).run([&] { do_clip(op); });
}

void Backend::adamw(const AdamW& op) {
  checks::adamw(op);
  for (const TensorView& changed : {op.master, op.moment1, op.moment2}) before_change(changed);
  Measure(*this, "adamw", 0, traffic(op.gradient, op.working) + 2 * traffic(op.master, op.moment1, op.moment2))
      .run([&] { do_adamw(op); });
}

void Backend::normal(const NormalFill& op) {
  checks::normal(op);
  before_change(op.dst);
  Measure(*this, "normal", 0, traffic(op.dst)).run([&] { do_normal(op); });
}

}  // namespace coxswain
