// What each operation asks of its arguments. A violation throws std::invalid_argument that names operation, argument
// and shape, before any memory is touched, alike for all backends.
#pragma once

#include "kernels/backend.h"

namespace coxswain::checks {

void transfer(const char* operation, const TensorView& view);
void copy(const TensorView& src, const TensorView& dst);
void linear(const TensorView& x, const TensorView& w, const TensorView& y, const LinearEpilogue& epilogue);
void linear_input_gradient(const TensorView& dy, const TensorView& w, const TensorView& dx,
                           const GradientEpilogue& epilogue);
void linear_weight_gradient(const TensorView& dy, const TensorView& x, const TensorView& dw);
void bias_gradient(const TensorView& dy, const TensorView& dbias);
void residual_norm(const Backend::ResidualNorm& op);
void norm_gradient(const Backend::NormGradient& op);
void residual_add(const TensorView& x, const TensorView& delta, const TensorView& bias, const DropoutSpec& dropout,
                  const TensorView& sum);
void dropout_gradient(const TensorView& dsum, const DropoutSpec& dropout, const TensorView& ddelta);
void gated(const TensorView& gate, const TensorView& up, const TensorView& y);
void gated_gradient(const TensorView& gate, const TensorView& up, const TensorView& dy, const TensorView& dgate,
                    const TensorView& dup);
void rotary(const TensorView& heads, const TensorView& positions, int direction);
void attention(const char* operation, const TensorView& q, const TensorView& k, const TensorView& v,
               const AttentionMask& mask, const TensorView& out, const TensorView& log_sum_exp);
void attention_gradient(const Backend::AttentionGradient& op);
void embedding(const TensorView& tokens, const TensorView& table, const TensorView& y);
void embedding_gradient(const TensorView& tokens, const TensorView& dy, const TensorView& dtable);
void cross_entropy_stats(const TensorView& logits, const TensorView& targets, std::int64_t valid,
                         const TensorView& stats);
void cross_entropy_combine(const TensorView& stats, const TensorView& loss, const TensorView& log_sum_exp);
void cross_entropy_gradient(const TensorView& targets, const TensorView& log_sum_exp, const TensorView& weight,
                            std::int64_t valid, const TensorView& logits);
void policy_loss(const Backend::PolicyLoss& op);
void value_loss(const Backend::ValueLoss& op);
void ranking_loss(const Backend::RankingLoss& op);
void scalar_projection(const TensorView& y, const TensorView& w, const TensorView& bias, const TensorView& out);
void scalar_projection_gradient(const Backend::ScalarProjectionGradient& op);
void linear_rows(const TensorView& x, const TensorView& w, const TensorView& bias, const TensorView& y);
void cached_attention(const Backend::CachedAttention& op);
void sample(const Backend::Sample& op);
void add(const TensorView& a, const TensorView& b, const TensorView& sum);
void weighted_sum(const TensorView& x, const TensorView& weight, const TensorView& out);
void blend(const TensorView& x, const TensorView& target);
void sum_of_squares(const TensorView& x, std::int64_t block, const TensorView& out);
void ordered_sums(const TensorView& x, const TensorView& places, const TensorView& ends, const TensorView& out);
void clip(const Backend::Clip& op);
void adamw(const Backend::AdamW& op);
void normal(const Backend::NormalFill& op);

}  // namespace coxswain::checks
