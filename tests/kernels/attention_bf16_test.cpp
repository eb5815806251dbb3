// Attention in BF16 against the definition in double, as closely as the rounding of its weights allows.
//
// A weight p is rounded to bf16 before it meets a value v: at most u = 2^-8 of it is lost, so a result that is rounded
// once more is within u (sum of p |v| + |result|), at most two units in the last place at the size of its terms. Where
// all terms have one sign that is two units of the result itself. The same holds of slopes in the gradient.
#include "tests/kernels/attention_case.h"

namespace coxswain::testing {
namespace {

constexpr double kUnit = 1.0 / 256, kSingle = 1e-5;  // what FP32 sums lose is covered by the latter

const std::vector<Shape4> kShapes = {
    {1, 67, 4, 2, 64},         {2, 131, 2, 2, 64, 0, 1}, {1, 129, 1, 1, 80},        {1, 70, 2, 1, 80, 33},
    {1, 193, 1, 1, 96, 70, 1}, {1, 131, 2, 1, 128},      {1, 200, 1, 1, 128, 0, 2}, {1, 65, 1, 1, 256},
    {2, 97, 1, 1, 256, 0, 1},  {1, 1, 3, 1, 128},        {1, 75, 1, 1, 37},         {1, 64, 2, 2, 40, 0, 2},
};

std::string name_of(const Shape4& s) {
  return "t " + std::to_string(s.t) + ", d " + std::to_string(s.d) + ", band " + std::to_string(s.band) +
         ", documents " + std::to_string(s.documents);
}

// A result beside the sum of the sizes of its terms.
struct Sized {
  std::vector<double> value, size;
  explicit Sized(std::int64_t count)
      : value(static_cast<std::size_t>(count), 0.0), size(static_cast<std::size_t>(count), 0.0) {}
  void add(std::int64_t at, double term, double lost = 0) {
    value[static_cast<std::size_t>(at)] += term;
    size[static_cast<std::size_t>(at)] += std::abs(term) + lost;
  }
};

void expect_within_units(const Host<bf16>& actual, const Sized& expected, const char* what) {
  ASSERT_EQ(actual.size(), static_cast<std::int64_t>(expected.value.size()));
  for (std::int64_t i = 0; i < actual.size(); ++i) {
    const double value = expected.value[static_cast<std::size_t>(i)], size = expected.size[static_cast<std::size_t>(i)];
    ASSERT_LE(std::abs(actual.at(i) - value), (kUnit + kSingle) * (size + std::abs(value)))
        << what << " [" << i << "]: " << actual.at(i) << ", expected " << value << " of terms of " << size;
  }
}

// Weights of one query, in double.
std::vector<double> weights_of(const Case<bf16>& x, std::int64_t b, std::int64_t head, std::int64_t i) {
  std::vector<double> weights(static_cast<std::size_t>(x.s.t), 0.0);
  const std::int64_t group = x.s.a + head / (x.s.a / x.s.g);
  double total = 0;
  for (std::int64_t j = 0; j <= i; ++j) {
    if (!x.sees(b, i, j)) continue;
    double score = 0;
    for (std::int64_t c = 0; c < x.s.d; ++c) score += x.element(b, i, head, c) * x.element(b, j, group, c);
    total += weights[static_cast<std::size_t>(j)] = std::exp(score * x.scale);
  }
  for (double& weight : weights) weight /= total;
  return weights;
}

Sized forward_of(const Case<bf16>& x) {
  const auto& s = x.s;
  Sized out(x.out.size());
  for (std::int64_t row = 0; row < s.b * s.t * s.a; ++row) {
    const std::int64_t b = row / s.a / s.t, i = row / s.a % s.t, head = row % s.a;
    const std::vector<double> weights = weights_of(x, b, head, i);
    for (std::int64_t j = 0; j <= i; ++j)
      for (std::int64_t c = 0; c < s.d; ++c)
        out.add(row * s.d + c,
                weights[static_cast<std::size_t>(j)] * x.element(b, j, s.a + s.g + head / (s.a / s.g), c));
  }
  return out;
}

// dq, dk and dv side by side, from x.out as it was rounded.
Sized gradient_of(const Case<bf16>& x) {
  const auto& s = x.s;
  Sized gradient(x.gradient.size());
  for (std::int64_t row = 0; row < s.b * s.t * s.a; ++row) {
    const std::int64_t b = row / s.a / s.t, i = row / s.a % s.t, head = row % s.a, key_head = s.a + head / (s.a / s.g);
    const std::int64_t value_head = key_head + s.g;
    const std::vector<double> weights = weights_of(x, b, head, i);
    const auto place = [&](std::int64_t token, std::int64_t of_head) {
      return (b * s.t + token) * x.row + of_head * s.d;
    };
    double delta = 0, delta_size = 0;
    for (std::int64_t c = 0; c < s.d; ++c) {
      delta += x.dout.at(row * s.d + c) * x.out.at(row * s.d + c);
      delta_size += std::abs(x.dout.at(row * s.d + c) * x.out.at(row * s.d + c));
    }
    for (std::int64_t j = 0; j <= i; ++j) {
      const double weight = weights[static_cast<std::size_t>(j)];
      if (weight == 0) continue;
      double change = -delta, lost = delta_size;
      for (std::int64_t c = 0; c < s.d; ++c) {
        const double term = x.dout.at(row * s.d + c) * x.element(b, j, value_head, c);
        change += term;
        lost += std::abs(term);
        gradient.add(place(j, value_head) + c, weight * x.dout.at(row * s.d + c));
      }
      const double slope = weight * change * x.scale;
      lost *= weight * x.scale * kSingle / kUnit;  // of the difference, in FP32
      for (std::int64_t c = 0; c < s.d; ++c) {
        const double key = x.element(b, j, key_head, c), query = x.element(b, i, head, c);
        gradient.add(place(i, head) + c, slope * key, lost * std::abs(key));
        gradient.add(place(j, key_head) + c, slope * query, lost * std::abs(query));
      }
    }
  }
  return gradient;
}

TEST(AttentionBf16, IsWithinTwoUnitsOfItsTerms) {
  const auto backend = make_tested_backend();
  for (const Shape4& shape : kShapes) {
    SCOPED_TRACE(name_of(shape));
    Case<bf16> x(shape, 2.0);
    x.forward(*backend);
    expect_within_units(x.out, forward_of(x), "out");
  }
}

TEST(AttentionBf16, GradientIsWithinTwoUnitsOfItsTerms) {
  const auto backend = make_tested_backend();
  for (const Shape4& shape : kShapes) {
    SCOPED_TRACE(name_of(shape));
    Case<bf16> x(shape, 1.5);
    x.forward(*backend);
    x.backward(*backend);
    expect_within_units(x.gradient, gradient_of(x), "dq, dk, dv");
  }
}

// An order among bf16 in which neighbours are one apart.
int place_of(bf16 value) { return value.bits & 0x8000u ? -(value.bits & 0x7fff) : value.bits; }

TEST(AttentionBf16, IsWithinTwoUnitsOfItselfWhereValuesHaveOneSign) {
  const auto backend = make_tested_backend();
  for (const Shape4& shape : kShapes) {
    SCOPED_TRACE(name_of(shape));
    Case<bf16> x(shape, 2.0);
    for (bf16& value : x.projection.values()) value.bits &= 0x7fffu;
    x.forward(*backend);
    const Sized expected = forward_of(x);
    for (std::int64_t i = 0; i < x.out.size(); ++i) {
      const bf16 rounded(static_cast<float>(expected.value[static_cast<std::size_t>(i)]));
      ASSERT_LE(std::abs(place_of(x.out[i]) - place_of(rounded)), 2) << i;
    }
  }
}

// Law 1: alone or among others, a head has the same bits.
TEST(AttentionBf16, AHeadIsTheSameInAnyCompany) {
  const auto backend = make_tested_backend();
  const std::int64_t t = 131, d = 80;
  Case<bf16> all({2, t, 4, 4, d, 50});
  all.forward(*backend);
  all.backward(*backend);
  for (std::int64_t b = 0; b < 2; ++b)
    for (std::int64_t head = 0; head < 4; ++head) {
      Case<bf16> one({1, t, 1, 1, d, 50});
      const auto part = [&](std::int64_t i) { return i / d * 4 * d + head * d + i % d; };  // of q, k or v of all heads
      for (std::int64_t i = 0; i < t; ++i)
        for (std::int64_t c = 0; c < 3 * d; ++c)
          one.projection[i * 3 * d + c] = all.projection[(b * t + i) * all.row + part(c)];
      for (std::int64_t i = 0; i < t * d; ++i) one.dout[i] = all.dout[(b * t + i / d) * 4 * d + head * d + i % d];
      one.forward(*backend);
      one.backward(*backend);
      for (std::int64_t i = 0; i < t * d; ++i)
        ASSERT_EQ(one.out[i].bits, all.out[(b * t + i / d) * 4 * d + head * d + i % d].bits) << i;
      for (std::int64_t i = 0; i < t * 3 * d; ++i)
        ASSERT_EQ(one.gradient[i].bits, all.gradient[(b * t + i / (3 * d)) * all.row + part(i % (3 * d))].bits) << i;
    }
}

// Rows that can be moved sixteen bytes at a time and rows that cannot, in several orders of everything.
TEST(AttentionBf16, BitsDependNeitherOnAddressesNorOnOrder) {
  for (const Shape4& shape : {Shape4{1, 131, 2, 1, 128, 0, 1}, Shape4{1, 70, 1, 1, 256}}) {
    Case<bf16> first(shape), odd(shape);
    const auto backend = make_tested_backend();
    first.forward(*backend);
    first.backward(*backend);
    const std::int64_t width = first.row + 1;  // rows whose length is odd
    Host<bf16> wide({shape.b, shape.t, width}), wide_gradient({shape.b, shape.t, width});
    for (std::int64_t i = 0; i < first.projection.size(); ++i)
      wide[i / first.row * width + i % first.row] = first.projection[i];
    odd.row = width;
    for (int run = 0; run < 2; ++run)
      on_one_and_two_threads([&](int) {
        Case<bf16> again(shape);
        again.forward(*backend);
        again.backward(*backend);
        ASSERT_TRUE(again.out.same_bits(first.out));
        ASSERT_TRUE(again.log_sum_exp.same_bits(first.log_sum_exp));
        ASSERT_TRUE(again.gradient.same_bits(first.gradient));
      });
    const AttentionMask mask = odd.mask();
    backend->attention(odd.q(wide), odd.k(wide), odd.v(wide), mask, odd.scale, odd.out, odd.log_sum_exp);
    backend->attention_gradient({odd.q(wide), odd.k(wide), odd.v(wide), odd.out, odd.log_sum_exp, odd.dout, mask,
                                 odd.scale, odd.q(wide_gradient), odd.k(wide_gradient), odd.v(wide_gradient)});
    ASSERT_TRUE(odd.out.same_bits(first.out));
    for (std::int64_t i = 0; i < first.gradient.size(); ++i)
      ASSERT_EQ(wide_gradient[i / first.row * width + i % first.row].bits, first.gradient[i].bits) << i;
  }
}

}  // namespace
}  // namespace coxswain::testing
