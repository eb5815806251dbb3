// The CUDA implementation of the Backend contract: one GPU, one stream, and a second one for what goes on aside. One
// .cu for each .cpp of kernels/cpu.
//
// Operations are put into the stream and return; only download and synchronize wait. Memory that the pool hands out
// again is safe to use at once, since all that works on it goes through the one stream: work aside takes none.
#pragma once

#include <cuda_runtime.h>

#include <memory>

#include "kernels/backend.h"

namespace coxswain {

class Gemm;
class PinnedDownload;
class PinnedUpload;

class CudaBackend : public Backend {
 public:
  CudaBackend(int device, bool graphs);
  ~CudaBackend() override;
  std::string name() const override { return "cuda"; }
  void synchronize() override;
  bool records() const override { return graphs_; }
  void* allocate_host(std::size_t bytes) override;
  void release_host(void* memory) noexcept override;
  void finish_uploads() override;
  void await_downloads() override;
  double library_product_seconds(LinearProduct product, DType dtype, std::int64_t m, std::int64_t n,
                                 std::int64_t k) override;
  double copy_bytes_per_second() override;
  double read_bytes_per_second() override;
  int device() const { return device_; }
  // Of what this backend is asked for now, for transfers to wait for it and it for them.
  cudaStream_t stream() const;

 protected:
  void* do_allocate(std::size_t bytes) override;
  void do_release(void* memory, std::size_t bytes) noexcept override;
  void do_upload(const void* host, TensorView dst) override;
  void do_begin_upload(const void* host, TensorView dst) override;
  void do_download(TensorView src, void* host) override;
  void do_begin_download(TensorView src, void* host) override;
  bool downloads_aside() const override { return true; }
  void begin_download_aside() override;
  void do_download_aside(TensorView src, void* host) override;
  void begin_keeping() override;
  std::unique_ptr<KeptOperations> end_keeping() override;
  void stop_keeping() noexcept override;
  void begin_aside() override;
  void end_aside() noexcept override;
  void do_join_aside() override;
  std::unique_ptr<OperationTimer> make_timer() override;
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
  class Stream;

  const int device_;
  const bool graphs_;
  std::unique_ptr<Stream> stream_, side_;  // the second one from its first use on
  bool on_side_ = false;
  std::unique_ptr<Gemm> gemm_;
  std::unique_ptr<PinnedDownload> aside_;
  std::unique_ptr<PinnedUpload> uploads_;
};

}  // namespace coxswain
