// Cases of attention: lengths around tiles, head sizes of published models, bands, documents of one token, grouped
// heads, and the cache of decoding; see agreement.h.
#pragma once

#include "tests/kernels/agreement.h"

namespace coxswain::testing {

struct AttentionShape {
  std::int64_t b, t, a, g, d;
  std::int64_t band = 0;
  std::int64_t document = 0;  // tokens of each, 0: one document

  std::string text() const {
    return Shape({b, t, a, g, d}).str() + (band ? " band " + std::to_string(band) : "") +
           (document ? " documents of " + std::to_string(document) : "");
  }
  float scale() const { return static_cast<float>(1.0 / std::sqrt(static_cast<double>(d))); }
};

// q, k and v side by side, as layers leave them.
template <class T>
struct Projected {
  const AttentionShape& s;
  Host<T> rows;
  Host<std::int32_t> starts;

  Projected(const AttentionShape& shape, Host<T> values) : s(shape), rows(std::move(values)), starts({s.b, s.t}) {
    for (std::int64_t i = 0; i < s.b * s.t && s.document > 0; ++i)
      starts[i] = static_cast<std::int32_t>(i % s.t / s.document * s.document);
  }
  static Shape shape_of(const AttentionShape& s) { return {s.b, s.t, (s.a + 2 * s.g) * s.d}; }
  TensorView heads(std::int64_t first, std::int64_t count) {
    const std::int64_t row = rows.shape()[2];
    TensorView view = rows.view().slice(2, first * s.d, count * s.d);
    view.shape = {s.b, s.t, count, s.d};
    view.strides = {s.t * row, row, s.d, 1};
    return view;
  }
  TensorView q() { return heads(0, s.a); }
  TensorView k() { return heads(s.a, s.g); }
  TensorView v() { return heads(s.a + s.g, s.g); }
  AttentionMask mask() {
    AttentionMask mask;
    mask.band = s.band;
    if (s.document > 0) mask.document_start = starts;
    return mask;
  }
};

inline AgreementCase attention_case(const AttentionShape& shape) {
  return both_types("attention " + shape.text(), [shape]<class T>(Trial& t) {
    Projected<T> x(shape, t.input<T>(Projected<T>::shape_of(shape), 1, 2.0));
    Host<T> out({shape.b, shape.t, shape.a, shape.d});
    Host<float> log_sum_exp({shape.b, shape.a, shape.t});
    t.backend.attention(x.q(), x.k(), x.v(), x.mask(), shape.scale(), out, log_sum_exp);
    t.output("out", out);
    t.output("log_sum_exp", log_sum_exp);
  });
}

// What forward left is the CPU's in FP32, stored as the type stores it: the same numbers for every backend and type.
inline AgreementCase attention_gradient_case(const AttentionShape& shape) {
  return both_types("attention_gradient " + shape.text(), [shape]<class T>(Trial& t) {
    const Shape heads{shape.b, shape.t, shape.a, shape.d};
    Projected<float> exact(shape, t.input<float>(Projected<float>::shape_of(shape), 1, 2.0));
    Host<float> left(heads), log_sum_exp({shape.b, shape.a, shape.t});
    make_cpu_backend()->attention(exact.q(), exact.k(), exact.v(), exact.mask(), shape.scale(), left, log_sum_exp);
    Projected<T> x(shape, t.input<T>(Projected<T>::shape_of(shape), 1, 2.0)), gradient(shape, Host<T>(x.rows.shape()));
    auto dout = t.input<T>(heads, 2);
    Host<T> out(heads);
    for (std::int64_t i = 0; i < out.size(); ++i)
      out[i] = static_cast<T>(t.rounds ? static_cast<float>(bf16(left[i])) : left[i]);
    t.backend.attention_gradient({x.q(), x.k(), x.v(), out, log_sum_exp, dout, x.mask(), shape.scale(), gradient.q(),
                                  gradient.k(), gradient.v()});
    // On one scale: dq and dk of a document of one token are nothing but rounding. Slopes are rounded before they meet
    // queries and keys, and what remains of their sums is small.
    t.output("dq, dk, dv", gradient.rows, true);
  });
}

// Rows of two slots in turn, so many at a time, with a gap between them; the cache holds rubbish before.
inline AgreementCase cached_attention_case(const AttentionShape& shape, std::int64_t chunk, std::int64_t gap = 0) {
  return both_types("cached_attention " + shape.text(), [shape, chunk, gap]<class T>(Trial& t) {
    const std::int64_t width = (shape.a + 2 * shape.g) * shape.d + gap, context = (shape.t + 63) / 64 * 64;
    auto texts = t.input<T>({shape.t, 2, width}, 1, 2.0);
    auto keys = t.input<T>({2, shape.g, context, shape.d}, 2, 1e20), values = t.input<T>(keys.shape(), 3, 1e20);
    for (std::int64_t first = 0; first < shape.t; first += chunk) {
      const std::int64_t count = std::min(chunk, shape.t - first), m = 2 * count;
      Host<std::int32_t> slots({m}), positions({m});
      for (std::int64_t i = 0; i < m; ++i)
        slots[i] = static_cast<std::int32_t>(i % 2), positions[i] = static_cast<std::int32_t>(first + i / 2);
      const auto heads = [&](std::int64_t head, std::int64_t heads_of) {
        TensorView view = texts.view().reshape({shape.t * 2, width}).slice(0, 2 * first, m);
        view = view.slice(1, head * shape.d, heads_of * shape.d);
        view.shape = {m, heads_of, shape.d};
        view.strides = {width, shape.d, 1};
        return view;
      };
      Host<T> out({m, shape.a, shape.d});
      t.backend.cached_attention({heads(0, shape.a), heads(shape.a, shape.g), heads(shape.a + shape.g, shape.g), slots,
                                  positions, keys, values, shape.band, shape.scale(), out});
      t.output("out from " + std::to_string(first), out);
    }
  });
}

inline AgreementCase linear_rows_case(std::int64_t m, std::int64_t n, std::int64_t k) {
  return both_types("linear_rows " + Shape({m, n, k}).str(), [=]<class T>(Trial& t) {
    auto x = t.input<T>({m, k}, 1), w = t.input<T>({n, k}, 2), bias = t.input<T>({n}, 3);
    for (const Activation activation : {Activation::none, Activation::gelu}) {
      Host<T> y({m, n}), bare({m, n});
      Host<float> sums({m, n});
      t.backend.linear_rows(x, w, bias, activation, y);
      t.backend.linear_rows(x, w, {}, activation, bare);
      t.backend.linear_rows(x, w, bias, activation, sums);
      t.output("y", y);
      t.output("y without bias", bare);
      t.output("sums", sums);
    }
  });
}

inline std::vector<AgreementCase> attention_cases() {
  std::vector<AgreementCase> cases;
  const std::vector<AttentionShape> shapes = {
      {1, 1, 1, 1, 64},         {2, 33, 2, 1, 64},         {1, 65, 1, 1, 80, 20},  {1, 31, 2, 2, 96},
      {1, 37, 1, 1, 128, 0, 1}, {1, 70, 3, 1, 128, 0, 13}, {1, 40, 1, 1, 256, 33}, {1, 130, 1, 1, 5, 0, 50},
      {1, 64, 2, 2, 64},        {1, 35, 4, 2, 40}};
  for (const AttentionShape& shape : shapes) {
    cases.push_back(attention_case(shape));
    cases.push_back(attention_gradient_case(shape));
  }
  for (const AttentionShape& shape : std::vector<AttentionShape>{{2, 3, 2, 1, 64},
                                                                 {2, 70, 1, 1, 80, 20},
                                                                 {2, 5, 3, 3, 96},
                                                                 {2, 131, 1, 1, 128},
                                                                 {1, 256, 1, 1, 64},
                                                                 {2, 4, 2, 1, 256}})
    cases.push_back(cached_attention_case(shape, shape.t > 10 ? 65 : 2));
  cases.push_back(cached_attention_case({2, 70, 3, 3, 20}, 65));   // of bf16, nothing moves 16 bytes at a time
  cases.push_back(cached_attention_case({2, 5, 2, 1, 5}, 2));      // nor of f32
  cases.push_back(cached_attention_case({2, 5, 2, 2, 16}, 3, 1));  // the cache is read so, what is appended is not
  for (const auto& [m, n, k] :
       {std::tuple(1, 1, 1), std::tuple(3, 17, 33), std::tuple(5, 9, 256), std::tuple(8, 8, 31),
        std::tuple(1, 20, 2600), std::tuple(14, 17, 2200), std::tuple(30, 33, 1600), std::tuple(70, 33, 1656)})
    cases.push_back(linear_rows_case(m, n, k));
  return cases;
}

}  // namespace coxswain::testing
