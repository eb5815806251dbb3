// The CPU implementation of the Backend contract. One .cpp for each subject: memory, linear, norm, activation,
// attention, embedding, cross_entropy, optimizer, random.
#pragma once

#include <map>
#include <memory>

#include "kernels/backend.h"

namespace coxswain {

class CompressedWeights;

class CpuBackend : public Backend {
 public:
  CpuBackend();
  ~CpuBackend() override;
  std::string name() const override { return "cpu"; }
  bool memory_on_host() const override { return true; }
  void synchronize() override {}
  double library_product_seconds(LinearProduct product, DType dtype, std::int64_t m, std::int64_t n,
                                 std::int64_t k) override;
  double copy_bytes_per_second() override;
  double read_bytes_per_second() override;

 protected:
  void* do_allocate(std::size_t bytes) override;
  void do_release(void* memory, std::size_t bytes) noexcept override;
  void do_upload(const void* host, TensorView dst) override;
  void do_download(TensorView src, void* host) override;
  bool downloads_aside() const override { return true; }
  void do_download_aside(TensorView src, void* host) override;
  void do_copy(TensorView src, TensorView dst) override;
  void do_fill(TensorView dst, double value) override;
  void do_linear(TensorView x, TensorView w, TensorView y, const LinearEpilogue& epilogue) override;
  void do_linear_input_gradient(TensorView dy, TensorView w, TensorView dx, const GradientEpilogue& epilogue) override;
  void do_linear_weight_gradient(TensorView dy, TensorView x, TensorView dw) override;
  void do_bias_gradient(TensorView dy, TensorView dbias) override;
  void do_residual_norm(const ResidualNorm& op) override;
  void do_norm_gradient(const NormGradient& op) override;
  void do_residual_add(TensorView x, TensorView delta, TensorView bias, const DropoutSpec& dropout,
                       TensorView sum) override;
  void do_dropout_gradient(TensorView dsum, const DropoutSpec& dropout, TensorView ddelta) override;
  void do_gated(Activation activation, TensorView gate, TensorView up, TensorView y) override;
  void do_gated_gradient(Activation activation, TensorView gate, TensorView up, TensorView dy, TensorView dgate,
                         TensorView dup) override;
  void do_rotary(TensorView heads, TensorView positions, double base, int direction) override;
  void do_attention(TensorView q, TensorView k, TensorView v, const AttentionMask& mask, float scale, TensorView out,
                    TensorView log_sum_exp) override;
  void do_attention_gradient(const AttentionGradient& op) override;
  void do_embedding(TensorView tokens, TensorView table, std::int64_t first_row, TensorView y) override;
  void do_embedding_gradient(TensorView tokens, TensorView dy, std::int64_t first_row, TensorView dtable) override;
  void do_cross_entropy_stats(TensorView logits, TensorView targets, std::int64_t first_column, std::int64_t valid,
                              TensorView stats) override;
  void do_cross_entropy_combine(TensorView stats, TensorView loss, TensorView log_sum_exp) override;
  void do_cross_entropy_gradient(TensorView targets, TensorView log_sum_exp, TensorView weight,
                                 std::int64_t first_column, std::int64_t valid, TensorView logits) override;
  void do_policy_loss(const PolicyLoss& op) override;
  void do_value_loss(const ValueLoss& op) override;
  void do_ranking_loss(const RankingLoss& op) override;
  void do_scalar_projection(TensorView y, TensorView w, TensorView bias, TensorView out) override;
  void do_scalar_projection_gradient(const ScalarProjectionGradient& op) override;
  void do_linear_rows(TensorView x, TensorView w, TensorView bias, Activation activation, TensorView y) override;
  std::size_t weight_bytes(std::int64_t rows, const TensorView& w) const override;
  void keep_weights(const TensorView& w) override;
  void drop_weights(const TensorView& w) noexcept override;
  void do_cached_attention(const CachedAttention& op) override;
  void do_sample(const Sample& op) override;
  void do_add(TensorView a, TensorView b, TensorView sum) override;
  void do_weighted_sum(TensorView x, TensorView weight, TensorView out) override;
  void do_blend(TensorView x, double weight, TensorView target) override;
  void do_sum_of_squares(TensorView x, std::int64_t block, TensorView out) override;
  void do_ordered_sums(TensorView x, TensorView places, TensorView ends, TensorView out) override;
  void do_clip(const Clip& op) override;
  void do_adamw(const AdamW& op) override;
  void do_normal(const NormalFill& op) override;

 private:
  // Null where a product of so many rows reads w as it is.
  const CompressedWeights* compressed_for(std::int64_t rows, const TensorView& w) const;

  std::map<const void*, std::unique_ptr<CompressedWeights>> compressed_;  // by where w lies
};

}  // namespace coxswain
