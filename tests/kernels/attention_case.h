// One call of attention and of its gradient on random numbers, for the tests of both.
#pragma once

#include "tests/kernels/reference.h"

namespace coxswain::testing {

struct Shape4 {
  std::int64_t b, t, a, g, d;
  std::int64_t band = 0;
  int documents = 0;  // 1: of several lengths, 2: of one token each
};

template <class T>
using Sum = std::conditional_t<std::is_same_v<T, double>, double, float>;

// q, k and v side by side in the rows of one projection, as layers leave them; out dense.
template <class T>
struct Case {
  Shape4 s;
  std::int64_t row;
  float scale;
  Host<T> projection, gradient, out, dout;
  Host<Sum<T>> log_sum_exp;
  Host<std::int32_t> starts;

  explicit Case(const Shape4& shape, double size = 1.0)
      : s(shape),
        row((s.a + 2 * s.g) * s.d),
        scale(static_cast<float>(1.0 / std::sqrt(static_cast<double>(s.d)))),
        projection(Host<T>::random({s.b, s.t, row}, 1, size)),
        gradient({s.b, s.t, row}),
        out({s.b, s.t, s.a, s.d}),
        dout(Host<T>::random({s.b, s.t, s.a, s.d}, 2)),
        log_sum_exp({s.b, s.a, s.t}),
        starts({s.b, s.t}) {
    for (std::int64_t i = 0; i < s.b * s.t; ++i) {  // documents of other lengths in each sequence
      const std::int64_t token = i % s.t, length = s.documents == 2 ? 1 : s.t / 3 + 2 * (i / s.t) + 1;
      starts[i] = static_cast<std::int32_t>(token / length * length);
    }
  }
  AttentionMask mask() {
    AttentionMask mask;
    mask.band = s.band;
    if (s.documents) mask.document_start = starts;
    return mask;
  }
  TensorView heads(Host<T>& host, std::int64_t first, std::int64_t count) {
    TensorView view = host.view().slice(2, first * s.d, count * s.d);
    view.shape = {s.b, s.t, count, s.d};
    view.strides = {s.t * row, row, s.d, 1};
    return view;
  }
  TensorView q(Host<T>& host) { return heads(host, 0, s.a); }
  TensorView k(Host<T>& host) { return heads(host, s.a, s.g); }
  TensorView v(Host<T>& host) { return heads(host, s.a + s.g, s.g); }

  void forward(Backend& backend) {
    backend.attention(q(projection), k(projection), v(projection), mask(), scale, out, log_sum_exp);
  }
  void backward(Backend& backend) {
    backend.attention_gradient({q(projection), k(projection), v(projection), out, log_sum_exp, dout, mask(), scale,
                                q(gradient), k(gradient), v(gradient)});
  }
  bool sees(std::int64_t sequence, std::int64_t query, std::int64_t key) const {
    if (key > query || (s.band > 0 && key <= query - s.band)) return false;
    return !s.documents || key >= static_cast<std::int64_t>(starts.at(sequence * s.t + query));
  }
  double element(std::int64_t sequence, std::int64_t token, std::int64_t head, std::int64_t c) const {
    return projection.at((sequence * s.t + token) * row + head * s.d + c);
  }
};

}  // namespace coxswain::testing
