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

std::int64_t SlotSchedule::waiting(const Slot& slot) const {
  return slot.request < 0 || responding(slot) ? 0 : length(slot) - slot.cached;
}

void SlotSchedule::refill(int group) {
  const std::size_t first = first_slot(group), last = first_slot(group + 1);
  for (std::size_t index = first; index < last && next_ < own_.size(); ++index)
    if (slots_[index].request < 0) slots_[index] = {static_cast<std::int64_t>(own_[next_++]), 0};
}

// As many in the passes that follow each other, until no prompt waits.
std::int64_t SlotSchedule::prompt_rows() {
  std::int64_t all = 0;
  for (const Slot& slot : slots_) all += waiting(slot);
  share_ = all == 0 ? 0 : std::max(share_, (all + limits_.groups - 1) / limits_.groups);
  return std::min<std::int64_t>(share_, limits_.prompt_chunk);
}

void SlotSchedule::add_rows(std::size_t index, std::int64_t count, PassPlan& plan) {
  Slot& place = slots_[index];
  for (std::int64_t i = 0; i < count; ++i) {
    plan.tokens.push_back(token(place, place.cached));
    plan.positions.push_back(static_cast<std::int32_t>(place.cached++));
    plan.slots.push_back(static_cast<std::int32_t>(index));
  }
}

void SlotSchedule::add_sampled(int group, std::size_t index, PassPlan& plan) {
  const auto request = static_cast<std::size_t>(slots_[index].request);
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
  const std::size_t first = first_slot(group), last = first_slot(group + 1);
  std::int64_t left = prompt_rows();
  for (std::size_t index = first; index < last; ++index) {
    const Slot& place = slots_[index];
    if (place.request < 0) continue;
    const bool one = responding(place);
    const std::int64_t count = one ? 1 : std::min(left, waiting(place));
    if (!one) left -= count;
    add_rows(index, count, plan);
    if (count > 0 && place.cached == length(place)) add_sampled(group, index, plan);
  }
  for (std::size_t index = 0; left > 0 && index < slots_.size(); ++index) {  // of the other groups
    const std::int64_t count = std::clamp<std::int64_t>(waiting(slots_[index]) - 1, 0, left);
    left -= count;
    add_rows(index, count, plan);
  }
  return plan;
}

void SlotSchedule::accept(int group, std::span<const std::int32_t> drawn, std::span<const float> log_probs) {
  const std::vector<std::size_t>& sampled = sampled_of_[static_cast<std::size_t>(group)];
  if (drawn.size() != sampled.size()) throw std::logic_error("slot schedule: not one token for each sampled row");
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    Slot& place = slots_[sampled[i]];
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
