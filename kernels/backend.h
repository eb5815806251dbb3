// The contract between layers and arithmetic: memory and some thirty coarse operations, forward beside backward.
//
// Public operations check shapes once for all backends, count work (calls, FLOP, bytes) and then call the backend's own
// `do_` function. An operation is asynchronous: its result is on the host only after `download` or `synchronize`.
//
// Rules for every implementation:
// * Inputs come first, outputs last. Parameter gradients accumulate (+=, FP32 or f64); everything else is assigned (=).
// * A result's bits depend on shapes, strides and values only: never on the number of threads, on addresses, or on an
//   element's place in a row. No atomics, no order of summation that depends on who is ready first.
// * Arithmetic is FP32 for f32 and bf16 views (accumulation included) and f64 for f64 views.
//
// Symbols: m rows of tokens (b * t), n outputs, k inputs, h hidden, b sequences, t tokens, a query heads, g key/value
// heads, d head size, v vocabulary columns held here.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/background_downloads.h"
#include "kernels/memory_use.h"
#include "kernels/operands.h"
#include "kernels/operation_timer.h"
#include "kernels/recording.h"
#include "kernels/view.h"

namespace coxswain {

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;  // "cpu", "cuda", "counting"
  // Whether the host may look through a view's `data`, and MPI move it.
  virtual bool memory_on_host() const { return false; }

  // ---- memory: 64-byte aligned, from pools that keep what is released, so that a settled step allocates nothing
  void* allocate(std::size_t bytes);
  void release(void* memory, std::size_t bytes) noexcept;
  const MemoryUse& memory() const { return memory_; }
  void reset_peak() { memory_.peak = memory_.in_use; }
  // Gives idle blocks of so many bytes back to the system.
  void release_idle(std::size_t at_least, std::size_t at_most = static_cast<std::size_t>(-1));
  // What is allocated from now on is for; returns what it was before. See MemoryScope.
  MemoryKind set_memory_kind(MemoryKind kind) { return std::exchange(kind_, kind); }
  virtual void synchronize() = 0;                 // wait for everything asked for so far
  void upload(const void* host, TensorView dst);  // dense host memory -> view (dense)
  void download(TensorView src, void* host);      // view (dense) -> host, waits
  // In two halves: what the view holds now goes to memory of allocate_host beside what follows; await_downloads: all
  // that was begun is there.
  void begin_download(TensorView src, void* host);
  virtual void await_downloads() {}
  // The same beside what follows, where the device can: `done` is called when the bytes are there, maybe in another
  // thread, in the order of the calls. Whatever changes or frees `src` waits until it has been read: release, upload,
  // copy, fill, normal, blend and adamw do so, which are the operations that change a run's state.
  void download_aside(TensorView src, void* host, BackgroundDownloads::Done done);
  void finish_downloads() { downloads_.finish(); }
  double download_wait_seconds() const { return downloads_.waited_seconds(); }  // of all the waits above, so far
  // For sums under way between ranks: copies, additions and transfers that are asked for while an Aside lives (aside.h)
  // begin when all that was asked for before is done, and go on beside what is asked for later. join_aside: what
  // follows begins when they are done. They take no memory, and what they use is released after the join.
  void join_aside();
  // Memory of the host that the device reads and writes at full speed: page-locked where there is a device. See
  // HostMemory. Uploads from it go on beside what follows: finish_uploads() before anything looks at the view or frees
  // it.
  virtual void* allocate_host(std::size_t bytes);
  virtual void release_host(void* memory) noexcept;  // waits for uploads from it
  void begin_upload(const void* host, TensorView dst);
  virtual void finish_uploads() {}
  void copy(TensorView src, TensorView dst);  // same shape, any strides; converts the type
  void fill(TensorView dst, double value);

  // ---- linear: y[m, n] = x[m, k] w[n, k]^T. Views may be strided in rows; columns are dense.
  void linear(TensorView x, TensorView w, TensorView y, const LinearEpilogue& epilogue = {});
  void linear_input_gradient(TensorView dy, TensorView w, TensorView dx, const GradientEpilogue& epilogue = {});
  void linear_weight_gradient(TensorView dy, TensorView x, TensorView dw);  // dw[n, k] += dy^T x
  void bias_gradient(TensorView dy, TensorView dbias);                      // dbias[n] += sum of dy's rows

  // ---- residual stream and norms: sum = x + dropout(delta + bias); y = norm(sum) * gamma + beta
  struct ResidualNorm {
    NormKind kind = NormKind::layer;
    float epsilon = 1e-5f;
    TensorView x;            // [m, h]
    TensorView delta, bias;  // [m, h], [h]; either may be empty
    DropoutSpec dropout;
    TensorView gamma, beta;  // [h]; beta empty for rms
    TensorView sum;          // out [m, h]; empty if delta is
    TensorView y;            // out [m, h]
    TensorView stats;        // out f32 [m, 2]: mean (0 for rms), 1 / standard deviation
  };
  void residual_norm(const ResidualNorm& op);
  struct NormGradient {
    NormKind kind = NormKind::layer;
    TensorView x, gamma, stats;  // what the norm saw: [m, h], [h], f32 [m, 2]
    TensorView dy;               // [m, h]
    TensorView dresidual;        // [m, h] or empty: gradient that reaches x beside the norm, added to dx
    TensorView dx;               // out [m, h]
    TensorView dgamma, dbeta;    // += [h] FP32; dbeta empty for rms
  };
  void norm_gradient(const NormGradient& op);
  void residual_add(TensorView x, TensorView delta, TensorView bias, const DropoutSpec& dropout, TensorView sum);
  void dropout_gradient(TensorView dsum, const DropoutSpec& dropout, TensorView ddelta);

  // ---- gated feed-forward: y = activation(gate) * up
  void gated(Activation activation, TensorView gate, TensorView up, TensorView y);
  void gated_gradient(Activation activation, TensorView gate, TensorView up, TensorView dy, TensorView dgate,
                      TensorView dup);

  // ---- rotary positions, in place on heads [b, t, heads, d]; pairs are (i, i + d/2) as in LLaMA's published code.
  // direction +1 rotates forward, -1 back (the gradient). positions i32 [b, t].
  void rotary(TensorView heads, TensorView positions, double base, int direction);

  // ---- attention: views [b, t, heads, d] of any stride over b, t and heads; a is a multiple of g
  void attention(TensorView q, TensorView k, TensorView v, const AttentionMask& mask, float scale, TensorView out,
                 TensorView log_sum_exp);  // out like q; f32 (f64) [b, a, t]
  struct AttentionGradient {
    TensorView q, k, v, out, log_sum_exp, dout;
    AttentionMask mask;
    float scale = 1;
    TensorView dq, dk, dv;  // out
  };
  void attention_gradient(const AttentionGradient& op);

  // ---- embedding. Rows [first_row, first_row + valid_rows) of the vocabulary are held in table [rows, h].
  // y[r] = table[tokens[r] - first_row] where held, else 0.
  void embedding(TensorView tokens, TensorView table, std::int64_t first_row, TensorView y);
  void embedding_gradient(TensorView tokens, TensorView dy, std::int64_t first_row,
                          TensorView dtable);  // += by row order

  // ---- cross-entropy over a vocabulary in shards. logits [m, columns]; columns >= valid are padding and do not count.
  // stats f32 [m, 3]: maximum, sum of exp(logit - maximum), logit of the target (0 if it is not held here)
  void cross_entropy_stats(TensorView logits, TensorView targets, std::int64_t first_column, std::int64_t valid,
                           TensorView stats);
  // all shards' stats [shards, m, 3] -> loss [m] = log-sum-exp - target logit, log_sum_exp [m]; f32
  void cross_entropy_combine(TensorView stats, TensorView loss, TensorView log_sum_exp);
  // in place: logits <- (softmax - one_hot(target)) * weight[row]; padding columns <- 0. weight f32 [m]
  void cross_entropy_gradient(TensorView targets, TensorView log_sum_exp, TensorView weight, std::int64_t first_column,
                              std::int64_t valid, TensorView logits);

  // ---- losses of alignment: sums over rows whose weights already hold the divisor. A row (group) of weight 0 is
  // padding: its gradient is 0 whatever its other numbers are. Terms are sums in double, rows in order.
  // Clipped policy gradient of PPO: r = exp(-token_loss - old_log_prob),
  // loss = sum of weight max(-advantage r, -advantage clip(r, 1 - clip, 1 + clip)).
  struct PolicyLoss {
    TensorView token_loss, old_log_probs;  // f32 [m]: -log p of the token now, log p when it was sampled
    TensorView advantages, weights;        // f32 [m]
    double clip = 0.2;
    TensorView gradient;  // out f32 [m]: dloss / dtoken_loss
    TensorView terms;     // out f64 [4]: loss; sums of weight times: clipping is active, r - 1 - log r, token_loss
  };
  void policy_loss(const PolicyLoss& op);
  // Clipped value loss: 1/2 sum of weight max((v - R)^2, (clip(v, old - clip, old + clip) - R)^2).
  struct ValueLoss {
    TensorView values, old_values;  // f32 [m]: now, and when the response was scored
    TensorView returns, weights;    // f32 [m]
    double clip = 0;                // 0: none
    TensorView gradient;            // out f32 [m]: dloss / dvalues
    TensorView terms;               // out f64 [2]: loss, sum of weight where clipping is active
  };
  void value_loss(const ValueLoss& op);
  // Loss of a reward model on groups of up to k ranked responses; see ranked_group.h for the formulas.
  struct RankingLoss {
    RankingKind kind = RankingKind::pairwise;
    TensorView scores;         // f32 [groups, k]
    TensorView ranks;          // i32 [groups, k]: 1 the best, equal for a tie, 0 absent
    TensorView group_weights;  // f32 [groups]
    TensorView gradient;       // out f32 [groups, k]: dloss / dscores
    TensorView terms;          // out f64 [3]: loss, comparisons that count, those that the scores get right
  };
  void ranking_loss(const RankingLoss& op);
  void scalar_projection(TensorView y, TensorView w, TensorView bias, TensorView out);  // out f32 [m] = y w + bias
  struct ScalarProjectionGradient {
    TensorView dout;       // f32 [m]
    TensorView y, w;       // [m, h], [h]
    TensorView dy;         // out [m, h]
    TensorView dw, dbias;  // += [h], [1] FP32; dbias may be empty
  };
  void scalar_projection_gradient(const ScalarProjectionGradient& op);

  // ---- decoding: rows of several texts, each at a position of its own. A row's bits depend on that row, the weights
  // and what is cached of its text: not on how many rows there are, nor on its place among them. y[m, n] =
  // activation(x[m, k] w[n, k]^T + bias); bias [n] or empty; y of x's type or of its sums. See HeldWeights
  // (held_weights.h) for weights that stay as they are.
  void linear_rows(TensorView x, TensorView w, TensorView bias, Activation activation, TensorView y);
  // Appends k and v of every row to the cache, then every row attends to the keys of its slot up to its own position.
  // A slot's rows come in the order of their positions, and what lies before them is cached already.
  struct CachedAttention {
    TensorView q, k, v;           // [m, a, d], [m, g, d], [m, g, d] of any stride over rows and heads
    TensorView slots, positions;  // i32 [m]
    TensorView keys, values;      // [slots, g, context, d] of any stride over slots and heads; context a multiple of
                                  // kCacheBlock. Where an element lies in a head's part is the backend's business.
    std::int64_t band = 0;        // as in AttentionMask
    float scale = 1;
    TensorView out;  // [m, a, d]
  };
  static constexpr std::int64_t kCacheBlock = 64;
  void cached_attention(const CachedAttention& op);
  // One token a row, drawn from softmax(logits / temperature) cut to the top_k likeliest tokens, then to the fewest of
  // these that have the probability top_p together; by inversion of the row's `uniform`, in double. Temperature 0: the
  // likeliest token, the first of several. Tokens of `banned` are not drawn in rows with a ban.
  struct Sample {
    TensorView logits;  // f32 (f64) [shards, m, columns]: the vocabulary in shards, padding at its end
    std::int64_t vocabulary = 0;
    TensorView uniform;  // f64 [m], in [0, 1)
    TensorView banned;   // i32 [count], or empty
    TensorView bans;     // i32 [m], 0 or 1; empty if banned is
    double temperature = 1, top_p = 1;
    std::int64_t top_k = 0;  // 0: all
    TensorView tokens;       // out i32 [m]; -1 where the logits are not numbers
    TensorView log_probs;    // out like logits [m]: log softmax(logits)[token], nothing cut off
  };
  void sample(const Sample& op);

  // ---- sums and updates
  void add(TensorView a, TensorView b, TensorView sum);                // dense, one type; sum may be a or b
  void weighted_sum(TensorView x, TensorView weight, TensorView out);  // f32 [n], f32 [n] -> f64 [1], one fixed order
  void blend(TensorView x, double weight, TensorView target);          // f32 [n]: target += weight (x - target)
  // out[i] = sum of squares of x[i * block, (i + 1) * block) in double; f32 [n] -> f64 [ceil(n / block)]
  void sum_of_squares(TensorView x, std::int64_t block, TensorView out);
  // out[s] = sum of x[place] over the s-th run of places, one after the other, from zero. f64 [n]; i32 [k]; i32 [sums]
  // where each run ends, the first beginning at 0; f64 [sums]
  void ordered_sums(TensorView x, TensorView places, TensorView ends, TensorView out);
  // What a step may do, see clipping.h: the norm, and the scale for its updates, of a sum of squares and a loss. All
  // are f64 [1].
  struct Clip {
    TensorView squares, loss;
    double limit = 0;  // of the norm; 0: none
    TensorView norm, scale;
  };
  void clip(const Clip& op);
  // gradient, master, moments: f32 [n]. working: empty, or bf16 [n] that receives the rounded new master. scale f64
  // [1]: the gradient is multiplied by it first; below zero nothing changes.
  struct AdamW {
    TensorView gradient, scale, master, moment1, moment2, working;
    AdamWStep step;
  };
  void adamw(const AdamW& op);

  // ---- random: normal(0, deviation) by global index. dst [rows, columns] is the box at (first_row, first_column) of a
  // tensor whose rows have global_columns elements. Box-Muller on Philox 4x32-10 words.
  struct NormalFill {
    RandomKey key;
    double deviation = 1;
    std::int64_t global_columns = 0, first_row = 0, first_column = 0;
    TensorView dst;
  };
  void normal(const NormalFill& op);

  // ---- work that is repeated. record() may repeat what an earlier call with this recording asked for instead of
  // calling `work`, so every call must ask for the same operations on the same memory: what changes from call to call
  // is uploaded before. Inside, nothing is uploaded, downloaded or kept, no run's state changes (see download_aside),
  // and what is not the backend's own, communication, goes through apart(), which is called again each time.
  virtual bool records() const { return false; }  // otherwise record() always calls
  void record(Recording& recording, const std::function<void()>& work);
  void apart(const std::function<void()>& work);

  // ---- work done since the last reset, by operation name
  const std::map<std::string, OperationCost>& costs() const;  // where operations are timed, waits for them
  void reset_costs();
  void set_timing(bool on);

  // ---- floors: what this machine can do at best, measured now with all threads of the process
  // Seconds of one product of a linear layer [m rows, n outputs, k inputs] by the vendor's library in its own
  // threading; the median of several. 0: unknown.
  virtual double library_product_seconds(LinearProduct product, DType dtype, std::int64_t m, std::int64_t n,
                                         std::int64_t k) = 0;
  virtual double copy_bytes_per_second() = 0;  // bytes read and written by copying a large array; 0: unknown
  virtual double read_bytes_per_second() = 0;  // of a large array; 0: unknown

 protected:
  void release_pool() noexcept;  // gives the idle blocks back to the system; every derived destructor calls it
  virtual void* do_allocate(std::size_t bytes) = 0;  // from the system; throws std::bad_alloc
  virtual void do_release(void* memory, std::size_t bytes) noexcept = 0;
  virtual void do_upload(const void* host, TensorView dst) = 0;
  virtual void do_begin_upload(const void* host, TensorView dst) { do_upload(host, dst); }
  virtual void do_download(TensorView src, void* host) = 0;
  virtual void do_begin_download(TensorView src, void* host) { do_download(src, host); }
  // Whether do_download_aside may be called in another thread, beside all other operations.
  virtual bool downloads_aside() const { return false; }
  virtual void begin_download_aside() {}  // before each, in the caller's thread
  virtual void do_download_aside(TensorView src, void* host) { do_download(src, host); }
  // What is asked for between these two is kept and not done.
  virtual void begin_keeping() {}
  virtual std::unique_ptr<KeptOperations> end_keeping() { return nullptr; }
  virtual void stop_keeping() noexcept {}  // after an error
  virtual void begin_aside() {}            // where there is no other order than the calls', this is all
  virtual void end_aside() noexcept {}
  virtual void do_join_aside() {}
  virtual std::unique_ptr<OperationTimer> make_timer() { return make_host_timer(*this); }
  virtual void do_copy(TensorView src, TensorView dst) = 0;
  virtual void do_fill(TensorView dst, double value) = 0;
  virtual void do_linear(TensorView x, TensorView w, TensorView y, const LinearEpilogue& epilogue) = 0;
  virtual void do_linear_input_gradient(TensorView dy, TensorView w, TensorView dx,
                                        const GradientEpilogue& epilogue) = 0;
  virtual void do_linear_weight_gradient(TensorView dy, TensorView x, TensorView dw) = 0;
  virtual void do_bias_gradient(TensorView dy, TensorView dbias) = 0;
  virtual void do_residual_norm(const ResidualNorm& op) = 0;
  virtual void do_norm_gradient(const NormGradient& op) = 0;
  virtual void do_residual_add(TensorView x, TensorView delta, TensorView bias, const DropoutSpec& dropout,
                               TensorView sum) = 0;
  virtual void do_dropout_gradient(TensorView dsum, const DropoutSpec& dropout, TensorView ddelta) = 0;
  virtual void do_gated(Activation activation, TensorView gate, TensorView up, TensorView y) = 0;
  virtual void do_gated_gradient(Activation activation, TensorView gate, TensorView up, TensorView dy, TensorView dgate,
                                 TensorView dup) = 0;
  virtual void do_rotary(TensorView heads, TensorView positions, double base, int direction) = 0;
  virtual void do_attention(TensorView q, TensorView k, TensorView v, const AttentionMask& mask, float scale,
                            TensorView out, TensorView log_sum_exp) = 0;
  virtual void do_attention_gradient(const AttentionGradient& op) = 0;
  virtual void do_embedding(TensorView tokens, TensorView table, std::int64_t first_row, TensorView y) = 0;
  virtual void do_embedding_gradient(TensorView tokens, TensorView dy, std::int64_t first_row, TensorView dtable) = 0;
  virtual void do_cross_entropy_stats(TensorView logits, TensorView targets, std::int64_t first_column,
                                      std::int64_t valid, TensorView stats) = 0;
  virtual void do_cross_entropy_combine(TensorView stats, TensorView loss, TensorView log_sum_exp) = 0;
  virtual void do_cross_entropy_gradient(TensorView targets, TensorView log_sum_exp, TensorView weight,
                                         std::int64_t first_column, std::int64_t valid, TensorView logits) = 0;
  virtual void do_policy_loss(const PolicyLoss& op) = 0;
  virtual void do_value_loss(const ValueLoss& op) = 0;
  virtual void do_ranking_loss(const RankingLoss& op) = 0;
  virtual void do_scalar_projection(TensorView y, TensorView w, TensorView bias, TensorView out) = 0;
  virtual void do_scalar_projection_gradient(const ScalarProjectionGradient& op) = 0;
  virtual void do_linear_rows(TensorView x, TensorView w, TensorView bias, Activation activation, TensorView y) = 0;
  // That such a product of so many rows reads of w.
  virtual std::size_t weight_bytes(std::int64_t /*rows*/, const TensorView& w) const { return w.bytes(); }
  // From the first HeldWeights of w on, and after the last one.
  virtual void keep_weights(const TensorView&) {}
  virtual void drop_weights(const TensorView&) noexcept {}
  virtual void do_cached_attention(const CachedAttention& op) = 0;
  virtual void do_sample(const Sample& op) = 0;
  virtual void do_add(TensorView a, TensorView b, TensorView sum) = 0;
  virtual void do_weighted_sum(TensorView x, TensorView weight, TensorView out) = 0;
  virtual void do_blend(TensorView x, double weight, TensorView target) = 0;
  virtual void do_sum_of_squares(TensorView x, std::int64_t block, TensorView out) = 0;
  virtual void do_ordered_sums(TensorView x, TensorView places, TensorView ends, TensorView out) = 0;
  virtual void do_clip(const Clip& op) = 0;
  virtual void do_adamw(const AdamW& op) = 0;
  virtual void do_normal(const NormalFill& op) = 0;

 private:
  friend class Recording;
  friend class Aside;
  friend class HeldWeights;
  class Measure;   // counts one call, and times it when asked
  class Recorder;  // of one call of record() that keeps what is asked for
  struct Blocks {  // of one size: those that wait for the next request, and how many there are in all
    std::vector<void*> idle;
    std::size_t count = 0;
  };
  void release_blocks(std::size_t size, Blocks& blocks) noexcept;
  void before_change(const TensorView& view) noexcept { downloads_.finish_reading(view.data, view.bytes()); }
  void forget_recording() noexcept;
  void require_unrecorded(const char* operation) const;
  std::map<std::size_t, Blocks> pool_;
  std::map<std::size_t, Blocks> recorded_pool_;  // what recorded work takes and gives back, apart from all other memory
  bool in_recorded_work_ = false;
  std::map<const void*, int> holders_;        // of weights, by where they lie
  int recordings_ = 0, recorded_blocks_ = 0;  // that live; that are taken at present
  Recorder* recorder_ = nullptr;
  MemoryUse memory_;
  MemoryKind kind_ = MemoryKind::activations;
  std::map<std::string, OperationCost> costs_;
  std::unique_ptr<OperationTimer> timer_;  // while operations are timed
  bool aside_ = false;
  BackgroundDownloads downloads_{[this](TensorView src, void* host) { do_download_aside(src, host); }};
};

// Names what is allocated while it lives.
class MemoryScope {
 public:
  MemoryScope(Backend& backend, MemoryKind kind) : backend_(backend), before_(backend.set_memory_kind(kind)) {}
  MemoryScope(const MemoryScope&) = delete;
  MemoryScope& operator=(const MemoryScope&) = delete;
  ~MemoryScope() { backend_.set_memory_kind(before_); }

 private:
  Backend& backend_;
  MemoryKind before_;
};

std::unique_ptr<Backend> make_cpu_backend();
// Does no arithmetic and touches no memory: for `--check`, which runs the program's own step to learn what it needs.
std::unique_ptr<Backend> make_counting_backend();

}  // namespace coxswain
