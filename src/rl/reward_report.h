// What a reward model is worth on comparisons that it has not seen: how often it orders a pair as people did, over all,
// by labeler and by source, and whether its sigma(difference of scores) can be taken for a probability.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "data/preferences.h"
#include "rl/calibration.h"
#include "rl/scoring.h"

namespace coxswain {

struct RewardReport {
  std::int64_t comparisons = 0;                             // 0: none were held out
  Proportion accuracy;                                      // over the pairs that are no ties
  std::map<std::string, Proportion> by_labeler, by_source;  // empty where no comparison names one
  std::vector<ReliabilityBin> reliability;
  double calibration_error = 0;
  // Scores of the reference: after the last step, and in the checkpoint. Empty: they were not normalised.
  std::vector<ScoreMoments> reference;
};

// scores: of each response, comparison after comparison. Calibration is that of the scores as they were trained, before
// they were divided by `gain`.
RewardReport judge_scores(std::span<const Comparison> comparisons, std::span<const double> scores, double gain);

std::string to_json(const RewardReport& report);  // reward_report.json
std::string to_text(const RewardReport& report);  // a table for the console
std::string to_html(const RewardReport& report);  // sections of report.html

}  // namespace coxswain
