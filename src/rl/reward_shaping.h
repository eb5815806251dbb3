// What a response is rewarded for: the score of the whole at its last token, and at every token a penalty for leaving
// the reference (Ziegler et al. 2019, equation 2; Ouyang et al. 2022, section 3.5):
//
//   r_j = -beta (log pi(a_j) - log pi_ref(a_j)) + [j is last] score
//
// Summed over a response this is score - beta log(pi / pi_ref), whose mean is the score less beta times the divergence.
#pragma once

#include <optional>

#include "rl/rollout.h"

namespace coxswain {

struct RewardShaping {
  double score_clip = 0;                    // scores to [-c, c]; 0: none
  std::optional<double> missing_end_score;  // replaces the score of a response that did not end (Ziegler et al.: -1)
};

// The score that counts. Throws Error(diverged) if the reward model's is not a number.
double shaped_score(const Episode& episode, const RewardShaping& shaping);

// Fills rewards of every episode from score, log_probs and reference_log_probs. A response without tokens gets none.
void shape_rewards(Rollout& rollout, double kl_coefficient, const RewardShaping& shaping);

// Three estimates of KL(pi || pi_ref) from samples of pi (Schulman, "Approximating KL divergence", 2020), with
// r = pi_ref / pi: k1 = -log r, unbiased, may be negative; k2 = (log r)^2 / 2, biased, of low variance;
// k3 = r - 1 - log r, unbiased and never negative.
struct KlEstimates {
  double k1 = 0, k2 = 0, k3 = 0;
};

KlEstimates token_divergence(double log_prob, double reference_log_prob);
// Sum over the tokens of a response: estimates the divergence of the whole response (k1 and k3 without bias).
KlEstimates response_divergence(const Episode& episode);
// Mean over the responses; 0 where there are none.
KlEstimates mean_divergence_by_response(const Rollout& rollout);

}  // namespace coxswain
