// The decoding operations against plain loops in double, and the promise that a row does not depend on its neighbours.
#include <algorithm>
#include <numeric>

#include "tests/kernels/reference.h"

namespace coxswain::testing {
namespace {

double activated(Activation activation, double x) {
  const double u = std::sqrt(2.0 / 3.14159265358979323846) * (x + 0.044715 * x * x * x);
  if (activation == Activation::gelu) return x / 2 * (1 + std::tanh(u));
  if (activation == Activation::silu) return x / (1 + std::exp(-x));
  return x;
}

template <class T>
class Decoding : public ::testing::Test {};
using Types = ::testing::Types<float, bf16, double>;
TYPED_TEST_SUITE(Decoding, Types);

TYPED_TEST(Decoding, LinearRowsEqualsThePlainProduct) {
  using T = TypeParam;
  const auto backend = make_tested_backend();
  for (const Activation activation : {Activation::none, Activation::gelu, Activation::silu})
    for (const auto& [m, n, k] : {std::tuple(1, 1, 1), std::tuple(1, 19, 40), std::tuple(3, 50, 33),
                                  std::tuple(7, 13, 100), std::tuple(130, 200, 65), std::tuple(133, 70, 72)}) {
      auto x = Host<T>::random({m, k}, 1), w = Host<T>::random({n, k}, 2), bias = Host<T>::random({n}, 3);
      Host<T> y({m, n});
      backend->linear_rows(x, w, bias, activation, y);
      std::vector<double> expected;
      for (int i = 0; i < m; ++i)
        for (int j = 0; j < n; ++j) {
          double sum = bias.at(j);
          for (int l = 0; l < k; ++l) sum += x.at(i * k + l) * w.at(j * k + l);
          expected.push_back(activated(activation, sum));
        }
      expect_close(y, expected, tolerance_of<T>() * (std::is_same_v<T, float> ? 3 : 1), "y");
    }
}

// Rows alone, in other numbers and at other places, on one thread and two. What a GPU does at once are 8, 16, 32, 64 or
// 128 rows, and some turns through 64 values of k.
TYPED_TEST(Decoding, ARowOfLinearRowsIsTheSameInAnyCompany) {
  using T = TypeParam;
  const auto backend = make_tested_backend();
  const std::int64_t m = std::is_same_v<T, bf16> ? 201 : 101, n = kTestsOnCuda ? 72 : 300;
  for (const std::int64_t k : {5, 150, 152, 2184}) {
    if (k > 1000 && !std::is_same_v<T, bf16>) continue;
    auto x = Host<T>::random({m, k}, 1), w = Host<T>::random({n, k}, 2);
    Host<T> all({m, n});
    backend->linear_rows(x, w, {}, Activation::gelu, all);
    on_one_and_two_threads([&](int) {
      for (const std::int64_t first : {0, 1, 36, 97, 197})
        for (const std::int64_t count : {1, 2, 3, 4, 5, 8, 9, 16, 17, 33, 65, 129, 200}) {
          if (first + count > m) continue;
          Host<T> some({count, n});
          backend->linear_rows(x.view().slice(0, first, count), w, {}, Activation::gelu, some);
          ASSERT_EQ(0, std::memcmp(some.values().data(), all.values().data() + first * n,
                                   static_cast<std::size_t>(count * n) * sizeof(T)))
              << first << " " << count << " of " << k;
        }
    });
  }
}

// Rows [m, k] and [n, k] beside each other in one memory of not-a-numbers: a row of `first`, `gap` elements, a row of
// `second`, `rest` elements.
template <class T>
struct Interleaved {
  Host<T> memory;
  TensorView first, second;

  Interleaved(const Host<T>& a, const Host<T>& b, std::int64_t gap, std::int64_t rest) {
    const std::int64_t k = a.shape()[1], m = a.shape()[0], n = b.shape()[0], width = 2 * k + gap + rest;
    memory = Host<T>({std::max(m, n), width});
    std::fill(memory.values().begin(), memory.values().end(), static_cast<T>(std::nanf("")));
    for (std::int64_t i = 0; i < m * k; ++i) memory[i / k * width + i % k] = static_cast<T>(a.at(i));
    for (std::int64_t i = 0; i < n * k; ++i) memory[i / k * width + k + gap + i % k] = static_cast<T>(b.at(i));
    first = memory.view().slice(0, 0, m).slice(1, 0, k);
    second = memory.view().slice(0, 0, n).slice(1, k + gap, k);
  }
};

// Where a GPU may move sixteen bytes at a time, and where it may not: x, w, or both start or end elsewhere.
TYPED_TEST(Decoding, LinearRowsAreTheSameAtAnyAlignment) {
  using T = TypeParam;
  const auto backend = make_tested_backend();
  const std::int64_t n = 35;
  for (const std::int64_t k : {8, 21, 72, 600})
    for (const std::int64_t m : {1, 7, 20, 40}) {
      const Host<T> x = Host<T>::random({m, k}, 1), w = Host<T>::random({n, k}, 2);
      Host<T> expected({m, n});
      backend->linear_rows(Host<T>(x), Host<T>(w), {}, Activation::none, expected);
      for (const auto& [gap, rest] :
           {std::pair(8, 16), std::pair(1, 15), std::pair(1, 16), std::pair(8, 9), std::pair(3, 3)})
        for (const bool x_first : {true, false}) {
          Interleaved<T> both(x_first ? x : w, x_first ? w : x, gap, rest);
          Host<T> y({m, n});
          backend->linear_rows(x_first ? both.first : both.second, x_first ? both.second : both.first, {},
                               Activation::none, y);
          ASSERT_TRUE(y.same_bits(expected)) << m << " rows of " << k << ", " << gap << " and " << rest << " apart";
        }
    }
}

struct Cached {
  std::int64_t slots, heads, groups, context, d, band, length = 140;
};

// Appends texts row by row in chunks of `chunk`, slots in turn, and gives all rows' outputs [slots, length, a, d].
template <class T>
std::vector<T> decode_all(Backend& backend, const Cached& shape, Host<T>& qkv, std::int64_t length,
                          std::int64_t chunk) {
  const std::int64_t width = (shape.heads + 2 * shape.groups) * shape.d, row = shape.heads * shape.d;
  Host<T> keys = Host<T>::random({shape.slots, shape.groups, shape.context, shape.d}, 9, 1e30);  // rubbish
  Host<T> values = Host<T>::random({shape.slots, shape.groups, shape.context, shape.d}, 9, 1e30);
  std::vector<T> outputs(static_cast<std::size_t>(shape.slots * length * row));
  for (std::int64_t first = 0; first < length; first += chunk) {
    const std::int64_t count = std::min(chunk, length - first), m = count * shape.slots;
    Host<T> some({m, width}), out({m, row});
    Host<std::int32_t> slots({m}), positions({m});
    for (std::int64_t i = 0; i < m; ++i) {
      slots[i] = static_cast<std::int32_t>(i / count);
      positions[i] = static_cast<std::int32_t>(first + i % count);
      std::copy_n(qkv.values().begin() + (slots[i] * length + positions[i]) * width, width,
                  some.values().begin() + i * width);
    }
    const auto heads = [&](Host<T>& host, std::int64_t start, std::int64_t heads_of) {
      TensorView view = host.view().slice(1, start * shape.d, heads_of * shape.d);
      view.shape = {m, heads_of, shape.d};
      view.strides = {host.shape()[1], shape.d, 1};
      return view;
    };
    Backend::CachedAttention op;
    op.q = heads(some, 0, shape.heads);
    op.k = heads(some, shape.heads, shape.groups);
    op.v = heads(some, shape.heads + shape.groups, shape.groups);
    op.slots = slots;
    op.positions = positions;
    op.keys = keys;
    op.values = values;
    op.band = shape.band;
    op.scale = 0.3f;
    op.out = heads(out, 0, shape.heads);
    backend.cached_attention(op);
    for (std::int64_t i = 0; i < m; ++i)
      std::copy_n(out.values().begin() + i * row, row, outputs.begin() + (slots[i] * length + positions[i]) * row);
  }
  return outputs;
}

template <class T>
std::vector<double> attention_of(const Cached& shape, const Host<T>& qkv, std::int64_t length) {
  const std::int64_t d = shape.d, width = (shape.heads + 2 * shape.groups) * d;
  std::vector<double> outputs;
  const auto at = [&](std::int64_t slot, std::int64_t position, std::int64_t head, std::int64_t c) {
    return qkv.at((slot * length + position) * width + head * d + c);
  };
  for (std::int64_t slot = 0; slot < shape.slots; ++slot)
    for (std::int64_t i = 0; i < length; ++i)
      for (std::int64_t head = 0; head < shape.heads; ++head) {
        const std::int64_t group = head / (shape.heads / shape.groups);
        const std::int64_t first = shape.band > 0 ? std::max<std::int64_t>(0, i - shape.band + 1) : 0;
        std::vector<double> weights;
        for (std::int64_t j = first; j <= i; ++j) {
          double score = 0;
          for (std::int64_t c = 0; c < d; ++c) score += at(slot, i, head, c) * at(slot, j, shape.heads + group, c);
          weights.push_back(std::exp(0.3f * score));
        }
        const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
        for (std::int64_t c = 0; c < d; ++c) {
          double out = 0;
          for (std::int64_t j = first; j <= i; ++j)
            out +=
                weights[static_cast<std::size_t>(j - first)] / sum * at(slot, j, shape.heads + shape.groups + group, c);
          outputs.push_back(out);
        }
      }
  return outputs;
}

TYPED_TEST(Decoding, CachedAttentionEqualsPlainAttentionInAnyChunks) {
  using T = TypeParam;
  const auto backend = make_tested_backend();
  for (const Cached& shape :
       {Cached{3, 4, 2, 192, 24, 0}, Cached{2, 2, 2, 192, 80, 0}, Cached{3, 2, 2, 192, 64, 0, 90},
        Cached{2, 3, 1, 192, 16, 7}, Cached{1, 1, 1, 576, 20, 0, 560}, Cached{1, 1, 1, 320, 128, 20, 290}}) {
    const std::int64_t length = shape.length;
    auto qkv = Host<T>::random({shape.slots, length, (shape.heads + 2 * shape.groups) * shape.d}, 4);
    const std::vector<T> whole = decode_all(*backend, shape, qkv, length, length);
    Host<T> host({static_cast<std::int64_t>(whole.size())});
    host.values() = whole;
    expect_close(host, attention_of(shape, qkv, length), tolerance_of<T>(), "out");
    on_one_and_two_threads([&](int) {
      for (const std::int64_t chunk : {1, 7, 64}) {
        if (chunk < 64 && length > 140) continue;  // for time's sake
        const std::vector<T> parts = decode_all(*backend, shape, qkv, length, chunk);
        EXPECT_EQ(0, std::memcmp(parts.data(), whole.data(), whole.size() * sizeof(T))) << chunk;
      }
    });
  }
}

// What sample() does, by the definition: candidates, their weights, inversion.
struct Expected {
  std::int32_t token;
  double log_prob;
};
Expected draw(const std::vector<double>& logits, double uniform, const Backend::Sample& rule, bool bans_first) {
  std::vector<double> weights;
  for (std::size_t i = 0; i < logits.size(); ++i)
    weights.push_back(bans_first && i == 0 ? 0.0 : std::exp(logits[i] / rule.temperature));
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const bool cuts = rule.top_k > 0 || rule.top_p < 1;
  const auto weight = [&](std::int32_t token) { return weights[static_cast<std::size_t>(token)]; };
  if (cuts) {
    std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) { return weight(a) > weight(b); });
    if (rule.top_k > 0) order.resize(static_cast<std::size_t>(rule.top_k));
    double sum = 0, kept = 0;
    for (const std::int32_t token : order) sum += weight(token);
    std::size_t count = 0;
    while (count < order.size() && (count == 0 || kept < rule.top_p * sum)) kept += weight(order[count++]);
    order.resize(count);
  }
  double sum = 0, all = 0;
  for (const std::int32_t token : order) sum += weight(token);
  for (const double logit : logits) all += std::exp(logit);
  double left = uniform * sum;
  std::int32_t chosen = order.back();
  for (const std::int32_t token : order)
    if ((left -= weight(token)) < 0) {
      chosen = token;
      break;
    }
  return {chosen, logits[static_cast<std::size_t>(chosen)] - std::log(all)};
}

using Rule = std::tuple<double, std::int64_t, double>;  // temperature, top_k, top_p

// Every second row bans the token that has most of the probability.
void expect_draws(std::int64_t shards, const std::vector<Rule>& rules) {
  const auto backend = make_tested_backend();
  const std::int64_t m = 40, columns = 3200 / shards, vocabulary = 3001;
  auto logits = Host<float>::random({shards, m, columns}, 5, 4.0);
  auto uniform = Host<double>::random({m}, 6);
  for (double& value : uniform.values()) value = std::abs(value);
  auto banned = integers({1}, {0});
  Host<std::int32_t> bans({m}), tokens({m});
  Host<float> log_probs({m});
  for (std::int64_t i = 0; i < m; ++i) bans[i] = i % 2;
  for (std::int64_t i = 0; i < m; ++i) logits[i * columns] = 12.0f;  // token 0 has most of the probability
  for (const auto& [temperature, top_k, top_p] : rules) {
    Backend::Sample op;
    op.logits = logits;
    op.vocabulary = vocabulary;
    op.uniform = uniform;
    op.banned = banned;
    op.bans = bans;
    op.temperature = temperature;
    op.top_k = top_k;
    op.top_p = top_p;
    op.tokens = tokens;
    op.log_probs = log_probs;
    on_one_and_two_threads([&](int) {
      backend->sample(op);
      for (std::int64_t row = 0; row < m; ++row) {
        std::vector<double> all;
        for (std::int64_t i = 0; i < vocabulary; ++i)
          all.push_back(logits.at((i / columns * m + row) * columns + i % columns));
        const Expected expected = draw(all, uniform[row], op, bans[row] == 1);
        ASSERT_EQ(tokens[row], expected.token) << "row " << row << " top_k " << top_k << " top_p " << top_p;
        ASSERT_NEAR(static_cast<double>(log_probs[row]), expected.log_prob, 1e-5);
      }
    });
  }
}

TEST(Sample, DrawsByInversionFromWhatTheRulesLeave) {
  expect_draws(1, {{1.0, 0, 1.0}, {0.7, 0, 1.0}, {1.3, 5, 1.0}, {1.0, 0, 0.9}});
  expect_draws(2, {{1.0, 0, 1.0},
                   {0.7, 0, 1.0},
                   {1.3, 5, 1.0},
                   {1.0, 0, 0.9},
                   {1.0, 0, 0.9999},
                   {2.0, 400, 0.8},
                   {1.0, 1, 1.0},
                   {3.0, 2000, 1.0},
                   {100.0, 0, 0.9},  // many candidates
                   {100.0, 0, 0.2}});
}

TEST(Sample, TakesTheLikeliestAtTemperatureZeroAndRefusesWhatIsNoNumber) {
  const auto backend = make_tested_backend();
  Host<float> logits({1, 3, 8}), log_probs({3});
  for (std::int64_t i = 0; i < 8; ++i) logits[i] = i == 3 || i == 5 ? 2.0f : 0.0f;
  for (std::int64_t i = 8; i < 16; ++i) logits[i] = i == 10 ? std::nanf("") : 1.0f;
  for (std::int64_t i = 16; i < 24; ++i) logits[i] = i == 23 ? 100.0f : 0.0f;  // padding
  Host<double> uniform({3});
  Host<std::int32_t> tokens({3});
  Backend::Sample op;
  op.logits = logits;
  op.vocabulary = 7;
  op.uniform = uniform;
  op.temperature = 0;
  op.tokens = tokens;
  op.log_probs = log_probs;
  backend->sample(op);
  EXPECT_EQ(tokens.values(), (std::vector<std::int32_t>{3, -1, 0}));
}

TEST(DecodingChecks, NameTheOperationAndTheArgument) {
  const auto backend = make_tested_backend();
  Host<float> x({2, 8}), w({4, 7}), y({2, 4});
  EXPECT_THROW(backend->linear_rows(x, w, {}, Activation::none, y), std::invalid_argument);
  Backend::CachedAttention op;
  Host<float> heads({1, 2, 4}), cache({1, 2, 60, 4}), blocks({1, 2, 64, 4});
  auto place = integers({1}, {64});
  auto slot = integers({1}, {0});
  op.q = op.k = op.v = op.out = heads;
  op.slots = slot;
  op.positions = place;
  op.keys = op.values = cache;
  EXPECT_THROW(backend->cached_attention(op), std::invalid_argument);  // no whole blocks
  op.keys = op.values = blocks;
  if (kTestsOnCuda) return;  // where positions are on the GPU, and it is a kernel that stops
  EXPECT_THROW(backend->cached_attention(op), std::invalid_argument);  // a position behind the cache
}

}  // namespace
}  // namespace coxswain::testing
