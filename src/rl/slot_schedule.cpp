#include "rl/slot_schedule.h"

#include <algorithm>
#include <stdexcept>

namespace coxswain {

SlotSchedule::SlotSchedule(const std::vector<GenerationRequest>& requests, std::vector<std::size_t> own,
                           const Sampling& sampling, const Limits& limits)
    : requests_(requests),
      own_(std::move(own)),
      sampling_(sampling),
      limits_(limits),
      slots_(static_cast<std::size_t>(limits.groups * limits.slots_per_group)),
      plans_(static_cast<std::size_t>(limits.groups)),
      sampled_of_(static_cast<std::size_t>(limits.groups)),
      responses_(requests.size()) {}

std::int64_t SlotSchedule::length(const Slot& slot) const {
  const auto request = static_cast<std::size_t>(slot.request);
  return std::ssize(requests_[request].prompt) + std::ssize(responses_[request].tokens);
}

std::int32_t SlotSchedule::token(const Slot& slot, std::int64_t position) const {
  const auto request = static_cast<std::size_t>(slot.request), at = static_cast<std::size_t>(position);
  const std::vector<std::int32_t>& prompt = requests_[request].prompt;
  return at < prompt.size() ? prompt[at] : responses_[request].tokens[at - prompt.size()];
}

bool SlotSchedule::responding(const Slot& slot) const {
  return slot.request >= 0 && slot.cached + 1 == length(slot) &&
         !responses_[static_cast<std::size_t>(slot.request)].tokens.empty();
}

void SlotSchedule::refill(int group) {
  for (int index = 0; index < limits_.slots_per_group && next_ < own_.size(); ++index)
    if (slot(group, index).request < 0) slot(group, index) = {static_cast<std::int64_t>(own_[next_++]), 0};
}

void SlotSchedule::add_rows(int group, int index, std::int64_t count, PassPlan& plan) {
  Slot& place = slot(group, index);
  for (std::int64_t i = 0; i < count; ++i) {
    plan.tokens.push_back(token(place, place.cached));
    plan.positions.push_back(static_cast<std::int32_t>(place.cached++));
    plan.slots.push_back(group * limits_.slots_per_group + index);
  }
  if (place.cached < length(place)) return;
  const auto request = static_cast<std::size_t>(place.request);
  const std::size_t position = responses_[request].tokens.size();
  plan.sampled.push_back(static_cast<std::int32_t>(plan.rows() - 1));
  plan.uniform.push_back(sampling_uniform(sampling_, requests_[request], position));
  plan.bans.push_back(bans_stops(sampling_, position) ? 1 : 0);
  sampled_of_[static_cast<std::size_t>(group)].push_back(index);
}

const PassPlan& SlotSchedule::plan(int group) {
  PassPlan& plan = plans_[static_cast<std::size_t>(group)];
  for (auto* rows : {&plan.tokens, &plan.positions, &plan.slots, &plan.sampled, &plan.bans}) rows->clear();
  plan.uniform.clear();
  sampled_of_[static_cast<std::size_t>(group)].clear();
  refill(group);
  std::int64_t left = limits_.prompt_chunk;
  for (int index = 0; index < limits_.slots_per_group; ++index) {
    const Slot& place = slot(group, index);
    if (place.request < 0) continue;
    const bool one = responding(place);
    const std::int64_t count = one ? 1 : std::min(left, length(place) - place.cached);
    if (!one) left -= count;
    if (count > 0) add_rows(group, index, count, plan);
  }
  return plan;
}

void SlotSchedule::accept(int group, std::span<const std::int32_t> drawn, std::span<const float> log_probs) {
  const std::vector<int>& sampled = sampled_of_[static_cast<std::size_t>(group)];
  if (drawn.size() != sampled.size()) throw std::logic_error("slot schedule: not one token for each sampled row");
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    Slot& place = slot(group, sampled[i]);
    GeneratedResponse& response = responses_[static_cast<std::size_t>(place.request)];
    response.tokens.push_back(drawn[i]);
    if (!log_probs.empty()) response.log_probability += static_cast<double>(log_probs[i]);
    const bool stopped = is_stopped(response.tokens, sampling_);
    const bool full = std::ssize(response.tokens) == sampling_.max_new_tokens || length(place) == limits_.context;
    if (!stopped && !full) continue;
    response.finish_reason = stopped ? FinishReason::stop : FinishReason::length;
    place = Slot();
  }
}

}  // namespace coxswain
