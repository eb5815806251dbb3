// Cases of cross-entropy, of the losses of alignment, and of sampling; see agreement.h.
#pragma once

#include <limits>

#include "tests/kernels/agreement.h"

namespace coxswain::testing {

// Two shards of a vocabulary, the second with padding at its end; a row of weight 0, targets in both shards.
inline AgreementCase cross_entropy_case(std::int64_t m, std::int64_t columns, std::int64_t padding) {
  return both_types("cross_entropy " + Shape({m, columns, padding}).str(), [=]<class T>(Trial& t) {
    auto logits = t.input<T>({2, m, columns}, 1, 5.0);
    Host<std::int32_t> targets({m});
    Host<float> stats({2, m, 3}), loss({m}), log_sum_exp({m}), weight({m});
    for (std::int64_t row = 0; row < m; ++row) {
      targets[row] = static_cast<std::int32_t>(row * (columns + 1) % (2 * columns - padding));
      weight[row] = row % 5 == 4 ? 0.0f : 0.25f;
    }
    for (std::int64_t c = 0; m > 1 && columns > 16 && c < 16; ++c)  // in row 1: all that one thread of a GPU has
      logits[columns + c] = static_cast<T>(-std::numeric_limits<float>::infinity());
    for (std::int64_t s = 0; s < 2; ++s) {
      const std::int64_t valid = s == 0 ? columns : columns - padding;
      t.backend.cross_entropy_stats(logits.view()[s], targets, s * columns, valid, stats.view()[s]);
    }
    t.backend.cross_entropy_combine(stats, loss, log_sum_exp);
    for (std::int64_t s = 0; s < 2; ++s)
      t.backend.cross_entropy_gradient(targets, log_sum_exp, weight, s * columns, s == 0 ? columns : columns - padding,
                                       logits.view()[s]);
    t.output("stats", stats);
    t.output("loss", loss);
    t.output("log_sum_exp", log_sum_exp);
    t.output("dlogits", logits);
  });
}

inline Host<float> weights_of(std::int64_t rows) {
  Host<float> weights({rows});
  for (std::int64_t i = 0; i < rows; ++i) weights[i] = i % 4 == 3 ? 0.0f : 0.01f * static_cast<float>(1 + i % 3);
  return weights;
}

inline AgreementCase token_losses_case(std::int64_t rows) {
  return {"policy_loss and value_loss of " + std::to_string(rows),
          [rows](Trial& t) {
            auto token_loss = t.input<float>({rows}, 1, 0.6), old = t.input<float>({rows}, 2, 0.3);
            for (std::int64_t i = 0; i < rows; ++i) token_loss[i] += 1.0f, old[i] -= 1.0f;
            auto advantages = t.input<float>({rows}, 3, 2.0), weights = weights_of(rows);
            auto values = t.input<float>({rows}, 4), old_values = t.input<float>({rows}, 5),
                 returns = t.input<float>({rows}, 6);
            Host<float> policy({rows}), value({rows});
            Host<double> policy_terms({4}), value_terms({2});
            t.backend.policy_loss({token_loss, old, advantages, weights, 0.2, policy, policy_terms});
            for (const double clip : {0.0, 0.2}) {
              t.backend.value_loss({values, old_values, returns, weights, clip, value, value_terms});
              t.output("dvalues", value);
              t.output("terms of value_loss", value_terms);
            }
            t.output("dtoken_loss", policy);
            t.output("terms of policy_loss", policy_terms);
          },
          {}};
}

inline AgreementCase ranking_case(std::int64_t groups, std::int64_t k) {
  return {"ranking_loss " + Shape({groups, k}).str(),
          [=](Trial& t) {
            auto scores = t.input<float>({groups, k}, 1, 2.0), weights = weights_of(groups);
            Host<std::int32_t> ranks({groups, k});
            for (std::int64_t i = 0; i < groups * k; ++i) ranks[i] = static_cast<std::int32_t>(i * 7 % (k + 1));
            for (std::int64_t group = 0; group < groups; ++group) ranks[group * k] = 1;
            for (const RankingKind kind : {RankingKind::pairwise, RankingKind::best_of_n}) {
              Host<float> gradient({groups, k});
              Host<double> terms({3});
              t.backend.ranking_loss({kind, scores, ranks, weights, gradient, terms});
              t.output("dscores", gradient);
              t.output("terms", terms);
            }
          },
          {}};
}

inline AgreementCase scalar_projection_case(std::int64_t m, std::int64_t h) {
  return both_types("scalar_projection " + Shape({m, h}).str(), [=]<class T>(Trial& t) {
    auto y = t.input<T>({m, h}, 1), w = t.input<T>({h}, 2), bias = t.input<T>({1}, 3);
    auto dout = t.input<float>({m}, 4), dw = t.input<float>({h}, 5), dbias = t.input<float>({1}, 6);
    Host<float> out({m});
    Host<T> dy({m, h});
    t.backend.scalar_projection(y, w, bias, out);
    t.backend.scalar_projection_gradient({dout, y, w, dy, dw, dbias});
    t.output("out", out);
    t.output("dy", dy);
    t.output("dw", dw);
    t.output("dbias", dbias);
  });
}

inline AgreementCase sample_case(std::int64_t m, std::int64_t shards, std::int64_t columns, std::int64_t vocabulary) {
  return {"sample " + Shape({m, shards, columns, vocabulary}).str(),
          [=](Trial& t) {
            auto logits = t.input<float>({shards, m, columns}, 1, 6.0);
            for (float& logit : logits.values()) logit = std::round(4 * logit) / 4;  // many are equal
            Host<double> uniform({m});
            Host<std::int32_t> banned({2}), bans({m});
            banned[0] = 0, banned[1] = static_cast<std::int32_t>(vocabulary - 1);
            for (std::int64_t i = 0; i < m; ++i)
              logits[((vocabulary - 1) / columns * m + i) * columns +
                     (vocabulary - 1) % columns] = i % 2 == 1 ? 9.0f : 1.0f,
                                        uniform[i] = static_cast<double>(i * 379 % 1000) / 1000,
                                        bans[i] = static_cast<std::int32_t>(i % 2);
            for (const auto& [temperature, top_k, top_p] :
                 {std::tuple(1.0, 0, 1.0), std::tuple(0.7, 0, 0.9), std::tuple(1.3, 5, 1.0), std::tuple(0.0, 0, 1.0),
                  std::tuple(100.0, 0, 0.95), std::tuple(3.0, 1100, 1.0)}) {
              Backend::Sample op;
              op.logits = logits, op.vocabulary = vocabulary, op.uniform = uniform;
              if (vocabulary > 2) op.banned = banned, op.bans = bans;
              op.temperature = temperature, op.top_k = top_k, op.top_p = top_p;
              Host<std::int32_t> tokens({m});
              Host<float> log_probs({m});
              op.tokens = tokens, op.log_probs = log_probs;
              t.backend.sample(op);
              t.output("tokens", tokens);
              t.output("log_probs", log_probs);
            }
          },
          {}};
}

inline std::vector<AgreementCase> loss_cases() {
  std::vector<AgreementCase> cases;
  for (const auto& [m, columns, padding] :
       {std::tuple(1, 3, 1), std::tuple(7, 257, 7), std::tuple(3, 1030, 5), std::tuple(2, 96, 7),
        std::tuple(1, 2056, 3), std::tuple(2, 9008, 3)})  // the last three in strips of 16 bytes, with a tail
    cases.push_back(cross_entropy_case(m, columns, padding));
  for (const std::int64_t rows : {1, 257, 600}) cases.push_back(token_losses_case(rows));
  cases.push_back(ranking_case(1, 2));
  cases.push_back(ranking_case(300, 5));
  cases.push_back(scalar_projection_case(1, 1));
  cases.push_back(scalar_projection_case(259, 35));
  cases.push_back(scalar_projection_case(70, 264));
  cases.push_back(sample_case(1, 1, 1, 1));
  cases.push_back(sample_case(5, 2, 40, 77));
  cases.push_back(sample_case(3, 2, 700, 1300));
  return cases;
}

}  // namespace coxswain::testing
