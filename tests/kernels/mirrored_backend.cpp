#include "tests/kernels/mirrored_backend.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace coxswain::testing {
namespace {

// Operands on the device. Views that overlap on the host overlap there.
class Mirror {
 public:
  Mirror(Backend& device, const std::vector<TensorView*>& views) : device_(device) {
    for (const TensorView* view : views)
      if (*view && view->elements() > 0) spans_.push_back(span_of(*view));
    std::sort(spans_.begin(), spans_.end(), [](const Span& a, const Span& b) { return a.begin < b.begin; });
    std::vector<Span> merged;
    for (const Span& span : spans_) {
      if (!merged.empty() && span.begin < merged.back().end) {
        merged.back().end = std::max(merged.back().end, span.end);
      } else {
        merged.push_back(span);
      }
    }
    spans_ = merged;
    for (Span& span : spans_) upload(span);
    for (TensorView* view : views) move(*view);
  }
  Mirror(const Mirror&) = delete;
  Mirror& operator=(const Mirror&) = delete;
  ~Mirror() {
    for (const Span& span : spans_) {
      device_.download(bytes_of(span), span.begin);
      device_.release(span.block, span.bytes());
    }
  }

 private:
  struct Span {
    char *begin, *end;
    char *block = nullptr, *device = nullptr;
    std::size_t bytes() const { return static_cast<std::size_t>(end - begin); }
  };

  static Span span_of(const TensorView& view) {
    std::int64_t last = 0;
    for (int dim = 0; dim < view.rank(); ++dim) last += (view.shape[dim] - 1) * view.strides[dim];
    char* begin = static_cast<char*>(view.data);
    return {begin, begin + (last + 1) * static_cast<std::int64_t>(size_of(view.dtype))};
  }
  static TensorView bytes_of(const Span& span) {  // of two: all types have an even number
    return TensorView(span.device, DType::bf16, {static_cast<std::int64_t>(span.bytes() / 2)});
  }
  // At the end of its block, which is whole lines: what reads or writes beyond it leaves the allocation.
  void upload(Span& span) {
    span.block = static_cast<char*>(device_.allocate(span.bytes()));
    span.device = span.block + (64 - span.bytes() % 64) % 64;
    device_.upload(span.begin, bytes_of(span));
  }
  void move(TensorView& view) const {
    if (!view) return;
    char* place = static_cast<char*>(view.data);
    for (const Span& span : spans_)
      if (place >= span.begin && place < span.end) view.data = span.device + (place - span.begin);
  }

  Backend& device_;
  std::vector<Span> spans_;
};

class MirroredBackend final : public Backend {
 public:
  explicit MirroredBackend(std::unique_ptr<Backend> device) : device_(std::move(device)) {}
  ~MirroredBackend() override { release_pool(); }
  std::string name() const override { return device_->name(); }
  void synchronize() override { device_->synchronize(); }
  double library_product_seconds(LinearProduct product, DType dtype, std::int64_t m, std::int64_t n,
                                 std::int64_t k) override {
    return device_->library_product_seconds(product, dtype, m, n, k);
  }
  double copy_bytes_per_second() override { return device_->copy_bytes_per_second(); }
  double read_bytes_per_second() override { return device_->read_bytes_per_second(); }

 protected:
  void* do_allocate(std::size_t bytes) override { return std::aligned_alloc(64, bytes); }
  void do_release(void* memory, std::size_t) noexcept override { std::free(memory); }
  void do_upload(const void* host, TensorView dst) override { std::memcpy(dst.data, host, dst.bytes()); }
  void do_download(TensorView src, void* host) override { std::memcpy(host, src.data, src.bytes()); }
  void do_copy(TensorView src, TensorView dst) override {
    const Mirror mirror(*device_, {&src, &dst});
    device_->copy(src, dst);
  }
  void do_fill(TensorView dst, double value) override {
    const Mirror mirror(*device_, {&dst});
    device_->fill(dst, value);
  }
  void do_linear(TensorView x, TensorView w, TensorView y, const LinearEpilogue& call) override {
    LinearEpilogue epilogue = call;
    const Mirror mirror(*device_, {&x, &w, &y, &epilogue.bias, &epilogue.activated});
    device_->linear(x, w, y, epilogue);
  }
  void do_linear_input_gradient(TensorView dy, TensorView w, TensorView dx, const GradientEpilogue& call) override {
    GradientEpilogue epilogue = call;
    const Mirror mirror(*device_, {&dy, &w, &dx, &epilogue.pre_activation});
    device_->linear_input_gradient(dy, w, dx, epilogue);
  }
  void do_linear_weight_gradient(TensorView dy, TensorView x, TensorView dw) override {
    const Mirror mirror(*device_, {&dy, &x, &dw});
    device_->linear_weight_gradient(dy, x, dw);
  }
  void do_bias_gradient(TensorView dy, TensorView dbias) override {
    const Mirror mirror(*device_, {&dy, &dbias});
    device_->bias_gradient(dy, dbias);
  }
  void do_residual_norm(const ResidualNorm& call) override {
    ResidualNorm op = call;
    const Mirror mirror(*device_, {&op.x, &op.delta, &op.bias, &op.gamma, &op.beta, &op.sum, &op.y, &op.stats});
    device_->residual_norm(op);
  }
  void do_norm_gradient(const NormGradient& call) override {
    NormGradient op = call;
    const Mirror mirror(*device_, {&op.x, &op.gamma, &op.stats, &op.dy, &op.dresidual, &op.dx, &op.dgamma, &op.dbeta});
    device_->norm_gradient(op);
  }
  void do_residual_add(TensorView x, TensorView delta, TensorView bias, const DropoutSpec& dropout,
                       TensorView sum) override {
    const Mirror mirror(*device_, {&x, &delta, &bias, &sum});
    device_->residual_add(x, delta, bias, dropout, sum);
  }
  void do_dropout_gradient(TensorView dsum, const DropoutSpec& dropout, TensorView ddelta) override {
    const Mirror mirror(*device_, {&dsum, &ddelta});
    device_->dropout_gradient(dsum, dropout, ddelta);
  }
  void do_gated(Activation activation, TensorView gate, TensorView up, TensorView y) override {
    const Mirror mirror(*device_, {&gate, &up, &y});
    device_->gated(activation, gate, up, y);
  }
  void do_gated_gradient(Activation activation, TensorView gate, TensorView up, TensorView dy, TensorView dgate,
                         TensorView dup) override {
    const Mirror mirror(*device_, {&gate, &up, &dy, &dgate, &dup});
    device_->gated_gradient(activation, gate, up, dy, dgate, dup);
  }
  void do_rotary(TensorView heads, TensorView positions, double base, int direction) override {
    const Mirror mirror(*device_, {&heads, &positions});
    device_->rotary(heads, positions, base, direction);
  }
  void do_attention(TensorView q, TensorView k, TensorView v, const AttentionMask& call, float scale, TensorView out,
                    TensorView log_sum_exp) override {
    AttentionMask mask = call;
    const Mirror mirror(*device_, {&q, &k, &v, &mask.document_start, &out, &log_sum_exp});
    device_->attention(q, k, v, mask, scale, out, log_sum_exp);
  }
  void do_attention_gradient(const AttentionGradient& call) override {
    AttentionGradient op = call;
    const Mirror mirror(*device_, {&op.q, &op.k, &op.v, &op.out, &op.log_sum_exp, &op.dout, &op.mask.document_start,
                                   &op.dq, &op.dk, &op.dv});
    device_->attention_gradient(op);
  }
  void do_embedding(TensorView tokens, TensorView table, std::int64_t first_row, TensorView y) override {
    const Mirror mirror(*device_, {&tokens, &table, &y});
    device_->embedding(tokens, table, first_row, y);
  }
  void do_embedding_gradient(TensorView tokens, TensorView dy, std::int64_t first_row, TensorView dtable) override {
    const Mirror mirror(*device_, {&tokens, &dy, &dtable});
    device_->embedding_gradient(tokens, dy, first_row, dtable);
  }
  void do_cross_entropy_stats(TensorView logits, TensorView targets, std::int64_t first_column, std::int64_t valid,
                              TensorView stats) override {
    const Mirror mirror(*device_, {&logits, &targets, &stats});
    device_->cross_entropy_stats(logits, targets, first_column, valid, stats);
  }
  void do_cross_entropy_combine(TensorView stats, TensorView loss, TensorView log_sum_exp) override {
    const Mirror mirror(*device_, {&stats, &loss, &log_sum_exp});
    device_->cross_entropy_combine(stats, loss, log_sum_exp);
  }
  void do_cross_entropy_gradient(TensorView targets, TensorView log_sum_exp, TensorView weight,
                                 std::int64_t first_column, std::int64_t valid, TensorView logits) override {
    const Mirror mirror(*device_, {&targets, &log_sum_exp, &weight, &logits});
    device_->cross_entropy_gradient(targets, log_sum_exp, weight, first_column, valid, logits);
  }
  void do_policy_loss(const PolicyLoss& call) override {
    PolicyLoss op = call;
    const Mirror mirror(*device_,
                        {&op.token_loss, &op.old_log_probs, &op.advantages, &op.weights, &op.gradient, &op.terms});
    device_->policy_loss(op);
  }
  void do_value_loss(const ValueLoss& call) override {
    ValueLoss op = call;
    const Mirror mirror(*device_, {&op.values, &op.old_values, &op.returns, &op.weights, &op.gradient, &op.terms});
    device_->value_loss(op);
  }
  void do_ranking_loss(const RankingLoss& call) override {
    RankingLoss op = call;
    const Mirror mirror(*device_, {&op.scores, &op.ranks, &op.group_weights, &op.gradient, &op.terms});
    device_->ranking_loss(op);
  }
  void do_scalar_projection(TensorView y, TensorView w, TensorView bias, TensorView out) override {
    const Mirror mirror(*device_, {&y, &w, &bias, &out});
    device_->scalar_projection(y, w, bias, out);
  }
  void do_scalar_projection_gradient(const ScalarProjectionGradient& call) override {
    ScalarProjectionGradient op = call;
    const Mirror mirror(*device_, {&op.dout, &op.y, &op.w, &op.dy, &op.dw, &op.dbias});
    device_->scalar_projection_gradient(op);
  }
  void do_linear_rows(TensorView x, TensorView w, TensorView bias, Activation activation, TensorView y) override {
    const Mirror mirror(*device_, {&x, &w, &bias, &y});
    device_->linear_rows(x, w, bias, activation, y);
  }
  void do_cached_attention(const CachedAttention& call) override {
    CachedAttention op = call;
    const Mirror mirror(*device_, {&op.q, &op.k, &op.v, &op.slots, &op.positions, &op.keys, &op.values, &op.out});
    device_->cached_attention(op);
  }
  void do_sample(const Sample& call) override {
    Sample op = call;
    const Mirror mirror(*device_, {&op.logits, &op.uniform, &op.banned, &op.bans, &op.tokens, &op.log_probs});
    device_->sample(op);
  }
  void do_add(TensorView a, TensorView b, TensorView sum) override {
    const Mirror mirror(*device_, {&a, &b, &sum});
    device_->add(a, b, sum);
  }
  void do_weighted_sum(TensorView x, TensorView weight, TensorView out) override {
    const Mirror mirror(*device_, {&x, &weight, &out});
    device_->weighted_sum(x, weight, out);
  }
  void do_blend(TensorView x, double weight, TensorView target) override {
    const Mirror mirror(*device_, {&x, &target});
    device_->blend(x, weight, target);
  }
  void do_sum_of_squares(TensorView x, std::int64_t block, TensorView out) override {
    const Mirror mirror(*device_, {&x, &out});
    device_->sum_of_squares(x, block, out);
  }
  void do_ordered_sums(TensorView x, TensorView places, TensorView ends, TensorView out) override {
    const Mirror mirror(*device_, {&x, &places, &ends, &out});
    device_->ordered_sums(x, places, ends, out);
  }
  void do_clip(const Clip& call) override {
    Clip op = call;
    const Mirror mirror(*device_, {&op.squares, &op.loss, &op.norm, &op.scale});
    device_->clip(op);
  }
  void do_adamw(const AdamW& call) override {
    AdamW op = call;
    const Mirror mirror(*device_, {&op.gradient, &op.scale, &op.master, &op.moment1, &op.moment2, &op.working});
    device_->adamw(op);
  }
  void do_normal(const NormalFill& call) override {
    NormalFill op = call;
    const Mirror mirror(*device_, {&op.dst});
    device_->normal(op);
  }

 private:
  std::unique_ptr<Backend> device_;
};

}  // namespace

std::unique_ptr<Backend> make_mirrored_backend(std::unique_ptr<Backend> device) {
  return std::make_unique<MirroredBackend>(std::move(device));
}

}  // namespace coxswain::testing
