// A backend without arithmetic and without memory: the program's own step runs dry on it, and its counts and its pool
// tell what the step would do and hold. Addresses are distinct numbers that nobody may look through.
#include <cstring>
#include <map>

#include "kernels/backend.h"
#include "kernels/compressed.h"
#include "kernels/scratch.h"

namespace coxswain {
namespace {

class CountingBackend final : public Backend {
 public:
  ~CountingBackend() override { release_pool(); }
  double library_product_seconds(LinearProduct, DType, std::int64_t, std::int64_t, std::int64_t) override { return 0; }
  double copy_bytes_per_second() override { return 0; }
  double read_bytes_per_second() override { return 0; }
  std::string name() const override { return "counting"; }
  void synchronize() override {}
  void* allocate_host(std::size_t) override { return nullptr; }  // of whole models, to which nothing is written

 protected:
  void* do_allocate(std::size_t bytes) override {
    void* memory = reinterpret_cast<void*>(next_);
    next_ += bytes;
    return memory;
  }
  void do_release(void*, std::size_t) noexcept override {}
  void do_upload(const void*, TensorView) override {}
  void do_download(TensorView src, void* host) override {
    if (host != nullptr) std::memset(host, 0, src.bytes());
  }
  void do_copy(TensorView, TensorView) override {}
  void do_fill(TensorView, double) override {}
  void do_linear(TensorView, TensorView, TensorView, const LinearEpilogue&) override {}
  void do_linear_input_gradient(TensorView, TensorView, TensorView, const GradientEpilogue&) override {}
  void do_linear_weight_gradient(TensorView, TensorView, TensorView) override {}
  void do_bias_gradient(TensorView, TensorView) override {}
  void do_residual_norm(const ResidualNorm&) override {}
  void do_norm_gradient(const NormGradient&) override {}
  void do_residual_add(TensorView, TensorView, TensorView, const DropoutSpec&, TensorView) override {}
  void do_dropout_gradient(TensorView, const DropoutSpec&, TensorView) override {}
  void do_gated(Activation, TensorView, TensorView, TensorView) override {}
  void do_gated_gradient(Activation, TensorView, TensorView, TensorView, TensorView, TensorView) override {}
  void do_rotary(TensorView, TensorView, double, int) override {}
  void do_attention(TensorView, TensorView, TensorView, const AttentionMask&, float, TensorView, TensorView) override {}
  void do_attention_gradient(const AttentionGradient&) override {}
  void do_embedding(TensorView, TensorView, std::int64_t, TensorView) override {}
  void do_embedding_gradient(TensorView, TensorView, std::int64_t, TensorView) override {}
  void do_cross_entropy_stats(TensorView, TensorView, std::int64_t, std::int64_t, TensorView) override {}
  void do_cross_entropy_combine(TensorView, TensorView, TensorView) override {}
  void do_cross_entropy_gradient(TensorView, TensorView, TensorView, std::int64_t, std::int64_t, TensorView) override {}
  void do_policy_loss(const PolicyLoss&) override {}
  void do_value_loss(const ValueLoss&) override {}
  void do_ranking_loss(const RankingLoss&) override {}
  void do_scalar_projection(TensorView, TensorView, TensorView, TensorView) override {}
  void do_scalar_projection_gradient(const ScalarProjectionGradient&) override {}
  void do_linear_rows(TensorView, TensorView, TensorView, Activation, TensorView) override {}
  void keep_weights(const TensorView& w) override {  // as a processor does
    if (!is_compressed_when_held(w)) return;
    const MemoryScope scope(*this, MemoryKind::compressed);
    const auto bytes = static_cast<std::int64_t>(compressed_bytes(w));
    compressed_.emplace(w.data, std::make_unique<Scratch<char>>(*this, bytes));
  }
  void drop_weights(const TensorView& w) noexcept override { compressed_.erase(w.data); }
  void do_cached_attention(const CachedAttention&) override {}
  void do_sample(const Sample&) override {}
  void do_add(TensorView, TensorView, TensorView) override {}
  void do_weighted_sum(TensorView, TensorView, TensorView) override {}
  void do_blend(TensorView, double, TensorView) override {}
  void do_sum_of_squares(TensorView, std::int64_t, TensorView) override {}
  void do_ordered_sums(TensorView, TensorView, TensorView, TensorView) override {}
  void do_clip(const Clip&) override {}
  void do_adamw(const AdamW&) override {}
  void do_normal(const NormalFill&) override {}

 private:
  std::uintptr_t next_ = 64;
  std::map<const void*, std::unique_ptr<Scratch<char>>> compressed_;  // by where w lies
};

}  // namespace

std::unique_ptr<Backend> make_counting_backend() { return std::make_unique<CountingBackend>(); }

}  // namespace coxswain
