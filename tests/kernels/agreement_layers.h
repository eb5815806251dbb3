// Cases of linear layers, norms, the residual stream, feed-forward and embeddings; see agreement.h.
#pragma once

#include "tests/kernels/agreement.h"

namespace coxswain::testing {

inline const std::vector<Activation> kActivations = {Activation::none, Activation::gelu, Activation::silu};

// [m, n] with a gap behind each row.
template <class T>
TensorView with_gaps(Host<T>& wide, std::int64_t columns) {
  return wide.view().slice(1, 0, columns);
}

inline AgreementCase linear_case(std::int64_t m, std::int64_t n, std::int64_t k) {
  return both_types("linear " + Shape({m, n, k}).str(), [m, n, k]<class T>(Trial& t) {
    const std::int64_t gap = k == 5 ? 0 : 3;
    auto x = t.input<T>({m, k + gap}, 1), w = t.input<T>({n, k}, 2), bias = t.input<T>({n}, 3);
    for (const Activation activation : kActivations)
      for (const bool with_bias : {false, true}) {
        Host<T> y({m, n}), activated({m, n});
        LinearEpilogue epilogue;
        if (with_bias) epilogue.bias = bias;
        epilogue.activation = activation;
        if (activation != Activation::none) epilogue.activated = activated;
        t.backend.linear(with_gaps(x, k), w, y, epilogue);
        t.output("y", y);
        if (activation != Activation::none) t.output("activated", activated);
      }
  });
}

inline AgreementCase linear_gradient_case(std::int64_t m, std::int64_t n, std::int64_t k) {
  return both_types("gradients of linear " + Shape({m, n, k}).str(), [m, n, k]<class T>(Trial& t) {
    auto dy = t.input<T>({m, n + 1}, 1), w = t.input<T>({n, k}, 2), before = t.input<T>({m, k}, 3, 2.0);
    auto x = t.input<T>({m, k}, 4);
    auto dw = t.input<float>({n, k}, 5), dbias = t.input<float>({n}, 6), dbias_of_all = t.input<float>({n + 1}, 7);
    for (const Activation activation : kActivations) {
      Host<T> dx({m, k});
      GradientEpilogue epilogue;
      epilogue.activation = activation;
      if (activation != Activation::none) epilogue.pre_activation = before;
      t.backend.linear_input_gradient(with_gaps(dy, n), w, dx, epilogue);
      t.output("dx", dx);
    }
    t.backend.linear_weight_gradient(with_gaps(dy, n), x, dw);
    t.backend.bias_gradient(with_gaps(dy, n), dbias);
    t.output("dw", dw);
    t.backend.bias_gradient(dy, dbias_of_all);  // of dense rows
    t.output("dbias", dbias);
    t.output("dbias of dense rows", dbias_of_all);
  });
}

inline AgreementCase norm_case(NormKind kind, std::int64_t m, std::int64_t h, bool adds, float dropout) {
  const std::string what = std::string(kind == NormKind::layer ? "layer" : "rms") + (adds ? " of a sum " : " ");
  return both_types("residual_norm " + what + Shape({m, h}).str(), [=]<class T>(Trial& t) {
    auto x = t.coarse<T>({m, h}, 1), delta = t.coarse<T>({m, h}, 2), bias = t.coarse<T>({h}, 3);
    auto gamma = t.input<T>({h}, 4), beta = t.input<T>({h}, 5);
    Host<T> sum({m, h}), y({m, h});
    Host<float> stats({m, 2});
    Backend::ResidualNorm op;
    op.kind = kind;
    op.x = x;
    if (adds) op.delta = delta, op.bias = bias, op.sum = sum;
    op.dropout = {dropout, {7, 9}, 5};
    op.gamma = gamma;
    if (kind == NormKind::layer) op.beta = beta;
    op.y = y;
    op.stats = stats;
    t.backend.residual_norm(op);
    if (adds) t.output("sum", sum);
    t.output("y", y);
    t.output("stats", stats);
  });
}

inline AgreementCase norm_gradient_case(NormKind kind, std::int64_t m, std::int64_t h, bool beside) {
  return both_types("norm_gradient " + Shape({m, h}).str(), [=]<class T>(Trial& t) {
    auto x = t.input<T>({m, h}, 1), gamma = t.input<T>({h}, 2), dy = t.input<T>({m, h}, 3),
         more = t.input<T>({m, h}, 4);
    auto dgamma = t.input<float>({h}, 5), dbeta = t.input<float>({h}, 6);
    Host<float> stats({m, 2});
    for (std::int64_t row = 0; row < m; ++row)
      stats[2 * row] = kind == NormKind::layer ? 0.01f * static_cast<float>(row % 7) : 0.0f, stats[2 * row + 1] = 1.7f;
    Host<T> dx({m, h});
    Backend::NormGradient op;
    op.kind = kind;
    op.x = x, op.gamma = gamma, op.stats = stats, op.dy = dy;
    if (beside) op.dresidual = more;
    op.dx = dx, op.dgamma = dgamma;
    if (kind == NormKind::layer) op.dbeta = dbeta;
    t.backend.norm_gradient(op);
    t.output("dx", dx);
    t.output("dgamma", dgamma);
    if (kind == NormKind::layer) t.output("dbeta", dbeta);
  });
}

// Rows that begin where wide loads may, with a tail behind their last sixteen bytes.
inline AgreementCase norm_gradient_tail_case(std::int64_t m) {
  return both_types("norm_gradient with tails " + Shape({m}).str(), [=]<class T>(Trial& t) {
    auto all = t.input<T>({m, 64}, 1), gamma = t.input<T>({30}, 2);
    auto dgamma = t.input<float>({30}, 3), dbeta = t.input<float>({30}, 4);
    Host<float> stats({m, 2});
    for (std::int64_t row = 0; row < m; ++row) stats[2 * row] = 0.01f, stats[2 * row + 1] = 1.7f;
    Host<T> dx({m, 30});
    Backend::NormGradient op;
    op.x = all.view().slice(1, 0, 30), op.dy = all.view().slice(1, 32, 30), op.dresidual = all.view().slice(1, 34, 30);
    op.gamma = gamma, op.stats = stats, op.dx = dx, op.dgamma = dgamma, op.dbeta = dbeta;
    t.backend.norm_gradient(op);
    t.output("dx", dx);
    t.output("dgamma", dgamma);
    t.output("dbeta", dbeta);
  });
}

inline AgreementCase residual_case(std::int64_t m, std::int64_t h, float dropout) {
  return both_types("residual_add and dropout_gradient " + Shape({m, h}).str(), [=]<class T>(Trial& t) {
    auto x = t.input<T>({m, h}, 1), delta = t.input<T>({m, h}, 2), bias = t.input<T>({h}, 3);
    Host<T> sum({m, h}), bare({m, h}), ddelta({m, h});
    const DropoutSpec spec{dropout, {3, 4}, 11};
    t.backend.residual_add(x, delta, bias, spec, sum);
    t.backend.residual_add(x, delta, {}, spec, bare);
    t.backend.dropout_gradient(delta, spec, ddelta);
    t.output("sum", sum);
    t.output("sum without bias", bare);
    t.output("ddelta", ddelta);
  });
}

inline AgreementCase gated_case(std::int64_t m, std::int64_t f) {
  return both_types("gated " + Shape({m, f}).str(), [=]<class T>(Trial& t) {
    auto gate = t.input<T>({m, f}, 1, 3.0), up = t.input<T>({m, f}, 2), dy = t.input<T>({m, f}, 3);
    for (const Activation activation : {Activation::gelu, Activation::silu}) {
      Host<T> y({m, f}), dgate({m, f}), dup({m, f});
      t.backend.gated(activation, gate, up, y);
      t.backend.gated_gradient(activation, gate, up, dy, dgate, dup);
      t.output("y", y);
      t.output("dgate", dgate);
      t.output("dup", dup);
    }
  });
}

// With so many elements between one token's heads and the next one's.
inline AgreementCase rotary_case(std::int64_t b, std::int64_t length, std::int64_t heads, std::int64_t d,
                                 std::int64_t gap = 0) {
  return both_types("rotary " + Shape({b, length, heads, d, gap}).str(), [=]<class T>(Trial& t) {
    const std::int64_t row = heads * d + gap;
    Host<std::int32_t> positions({b, length});
    for (std::int64_t i = 0; i < b * length; ++i) positions[i] = static_cast<std::int32_t>(i * 37 % 2048);
    for (const int direction : {1, -1}) {
      auto all = t.input<T>({b, length, row}, 1);
      TensorView view = all.view().slice(2, 0, heads * d);
      view.shape = {b, length, heads, d};
      view.strides = {length * row, row, d, 1};
      t.backend.rotary(view, positions, 1e4, direction);
      t.output("heads", all);
    }
  });
}

// Some tokens are held here and some are not; some come twice, one in most rows.
inline AgreementCase embedding_case(std::int64_t m, std::int64_t rows, std::int64_t h) {
  return both_types("embedding " + Shape({m, rows, h}).str(), [=]<class T>(Trial& t) {
    Host<std::int32_t> tokens({m});
    for (std::int64_t i = 0; i < m; ++i) tokens[i] = static_cast<std::int32_t>(i % 3 == 0 ? 10 : i * 7 % (rows + 9));
    auto table = t.input<T>({rows, h}, 1), dy = t.input<T>({m, h}, 2);
    auto dtable = t.input<float>({rows, h}, 3);
    Host<T> y({m, h});
    t.backend.embedding(tokens, table, 5, y);
    t.backend.embedding_gradient(tokens, dy, 5, dtable);
    t.output("y", y);
    t.output("dtable", dtable);
  });
}

inline std::vector<AgreementCase> layer_cases() {
  std::vector<AgreementCase> cases;
  for (const auto& [m, n, k] :
       {std::tuple(1, 1, 1), std::tuple(5, 7, 9), std::tuple(33, 65, 31), std::tuple(64, 48, 32),
        std::tuple(64, 3, 5)})  // the last: only w lies where wide loads may not
    cases.push_back(linear_case(m, n, k));
  for (const auto& [m, n, k] :
       {std::tuple(1, 1, 1), std::tuple(7, 33, 5), std::tuple(257, 31, 8), std::tuple(32, 64, 16)})
    cases.push_back(linear_gradient_case(m, n, k));
  for (const NormKind kind : {NormKind::layer, NormKind::rms}) {
    cases.push_back(norm_case(kind, 3, 8, false, 0));
    cases.push_back(norm_case(kind, 2, 255, true, 0));
    cases.push_back(norm_case(kind, 5, 257, true, 0.5f));
    cases.push_back(norm_case(kind, 1, 1024, false, 0));
    cases.push_back(norm_gradient_case(kind, 1, 8, false));
    cases.push_back(norm_gradient_case(kind, 3, 33, false));
    cases.push_back(norm_gradient_case(kind, 257, 33, true));
    cases.push_back(norm_gradient_case(kind, 3, 515, true));
    for (const std::int64_t h : {3080, 12296}) {  // a block a row, and at last too long for its registers
      cases.push_back(norm_case(kind, 2, h, true, 0));
      cases.push_back(norm_gradient_case(kind, 2, h, true));
    }
    cases.push_back(norm_gradient_case(kind, 131, 264, false));  // strips of 16 bytes in several blocks each way
  }
  cases.push_back(norm_gradient_tail_case(3));
  cases.push_back(residual_case(3, 7, 0.25f));
  cases.push_back(residual_case(2, 261, 0));
  cases.push_back(residual_case(4, 264, 0.25f));  // rows that move sixteen bytes at a time
  for (const auto& [m, f] : {std::pair(1, 1), std::pair(3, 87), std::pair(2, 512)}) cases.push_back(gated_case(m, f));
  cases.push_back(rotary_case(2, 5, 3, 2));
  cases.push_back(rotary_case(1, 3, 2, 80));
  cases.push_back(rotary_case(2, 3, 9, 128, 8));  // two blocks of pairs, 16 bytes at a time
  cases.push_back(rotary_case(1, 13, 2, 40));     // two blocks; only its halves keep bf16 from wide loads
  cases.push_back(rotary_case(1, 3, 1, 16, 4));   // and here only its rows
  cases.push_back(embedding_case(1, 20, 8));
  cases.push_back(embedding_case(67, 20, 33));
  cases.push_back(embedding_case(64, 20, 40));
  return cases;
}

}  // namespace coxswain::testing
