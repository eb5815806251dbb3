// What the decoding operations ask of their arguments, see operation_checks.h.
#include "kernels/operation.h"
#include "kernels/operation_checks.h"

namespace coxswain::checks {

void linear_rows(const TensorView& x, const TensorView& w, const TensorView& bias, const TensorView& y) {
  const Operation op("linear_rows");
  op.matrix("x", x);
  op.matrix("w", w);
  const std::int64_t m = x.shape[0], n = w.shape[0], k = x.shape[1];
  op.require(w.shape[1] == k, "x is " + text(x) + " but w " + text(w) + ", expected as many columns");
  op.matrix("y", y, m, n);
  op.floating("x", x);
  op.type("w", w, x.dtype);
  op.beside("y", y, x.dtype);
  if (!bias) return;
  op.vector("bias", bias, n);
  op.beside("bias", bias, x.dtype);
}

void cached_attention(const Backend::CachedAttention& call) {
  const Operation op("cached_attention");
  op.rank("q", call.q, 3);
  op.rank("k", call.k, 3);
  op.rank("keys", call.keys, 4);
  op.floating("q", call.q);
  const std::int64_t m = call.q.shape[0], a = call.q.shape[1], d = call.q.shape[2], g = call.k.shape[1];
  op.require(g > 0 && a % g == 0,
             std::to_string(a) + " query heads are no multiple of " + std::to_string(g) + " key/value heads");
  op.shape("k", call.k, {m, g, d});
  op.shape("v", call.v, {m, g, d});
  op.shape("out", call.out, call.q.shape);
  const std::int64_t context = call.keys.shape[2];
  op.require(context % Backend::kCacheBlock == 0, "the cache's context " + std::to_string(context) +
                                                      " is no multiple of " + std::to_string(Backend::kCacheBlock));
  op.shape("keys", call.keys, {call.keys.shape[0], g, context, d});
  op.shape("values", call.values, call.keys.shape);
  for (const auto& [name, view] : {std::pair("k", &call.k), std::pair("v", &call.v), std::pair("out", &call.out),
                                   std::pair("keys", &call.keys), std::pair("values", &call.values)}) {
    op.type(name, *view, call.q.dtype);
    op.last_dense(name, *view);
  }
  op.last_dense("q", call.q);
  op.dense("a head's keys", call.keys[0][0]);
  op.dense("a head's values", call.values[0][0]);
  op.integers("slots", call.slots, m);
  op.integers("positions", call.positions, m);
  op.require(call.band >= 0, "the band " + std::to_string(call.band) + " is negative");
}

void sample(const Backend::Sample& call) {
  const Operation op("sample");
  op.rank("logits", call.logits, 3);
  op.dense("logits", call.logits);
  op.sum_type("logits", call.logits, call.logits.dtype);
  const std::int64_t shards = call.logits.shape[0], m = call.logits.shape[1], columns = call.logits.shape[2];
  op.require(call.vocabulary > 0 && call.vocabulary <= shards * columns,
             "a vocabulary of " + std::to_string(call.vocabulary) + " in logits " + text(call.logits));
  op.vector("uniform", call.uniform, m);
  op.type("uniform", call.uniform, DType::f64);
  op.require(call.banned.empty() == call.bans.empty(), "banned and bans come together");
  if (call.banned) {
    op.integers("banned", call.banned, call.banned.elements());
    op.integers("bans", call.bans, m);
  }
  op.require(call.temperature >= 0, "temperature " + std::to_string(call.temperature) + " is negative");
  op.require(call.top_k >= 0, "top_k " + std::to_string(call.top_k) + " is negative");
  op.require(call.top_p > 0 && call.top_p <= 1, "top_p " + std::to_string(call.top_p) + " is not in (0, 1]");
  op.integers("tokens", call.tokens, m);
  op.vector("log_probs", call.log_probs, m);
  op.type("log_probs", call.log_probs, call.logits.dtype);
}

}  // namespace coxswain::checks
