#include "phases/scored_responses.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"

namespace coxswain {

namespace {

double length_of(const nlohmann::json& record) {
  const auto tokens = record.find("tokens");
  if (tokens != record.end() && tokens->is_number()) return tokens->get<double>();
  if (tokens != record.end() && tokens->is_array()) return static_cast<double>(tokens->size());
  return static_cast<double>(record.value("response", std::string()).size());
}

constexpr const char* kNoPrompt = "a prompt of one side only";
constexpr const char* kNoResponse = "more responses to the prompt than on the other side";

void take(const ScoredResponses& from, std::size_t i, ScoredResponses& to) {
  to.scores.push_back(from.scores[i]);
  to.lengths.push_back(from.lengths[i]);
  to.prompts.push_back(from.prompts[i]);
  to.places.push_back(from.places[i]);
}

// The beginning of a prompt, for a message.
std::string shown(const std::string& prompt) {
  std::size_t end = std::min<std::size_t>(prompt.size(), 60);
  while (end < prompt.size() && (static_cast<unsigned char>(prompt[end]) & 0xc0) == 0x80) --end;  // whole characters
  return prompt.substr(0, end) + (end < prompt.size() ? "..." : "");
}

}  // namespace

ScoredResponses read_scored_responses(const RecordFiles& files, Communicator& world, Log& log) {
  ScoredResponses responses;
  DropReport dropped;
  read_records(files, world, log, dropped, [&](const nlohmann::json& record, const std::string& place) {
    if (!record.is_object() || !record.contains("score") || !record["score"].is_number())
      throw BadRecord("no number under \"score\"");
    const auto prompt = record.find("prompt");
    if (prompt == record.end() || (!prompt->is_string() && !prompt->is_array()))
      throw BadRecord("no text and no array of messages under \"prompt\"");
    responses.scores.push_back(record["score"].get<double>());
    responses.lengths.push_back(length_of(record));
    responses.prompts.push_back(prompt->dump());
    responses.places.push_back(place);
  });
  if (responses.scores.empty())
    throw Error(ExitCode::data, fmt::format("{} = {}: no line with a prompt and a score", files.key, files.paths));
  return responses;
}

PairedResponses pair_up(const ScoredResponses& ours, const ScoredResponses& theirs, const std::string& our_paths,
                        const std::string& their_paths) {
  std::map<std::string, std::deque<std::size_t>> unpaired;  // theirs, by prompt
  for (std::size_t i = 0; i < theirs.prompts.size(); ++i) unpaired[theirs.prompts[i]].push_back(i);
  PairedResponses pairs;
  std::vector<bool> used(theirs.prompts.size(), false);
  for (std::size_t i = 0; i < ours.prompts.size(); ++i) {
    const auto found = unpaired.find(ours.prompts[i]);
    if (found == unpaired.end() || found->second.empty()) {
      pairs.left_out.add(found == unpaired.end() ? kNoPrompt : kNoResponse, ours.places[i]);
      continue;
    }
    const std::size_t other = found->second.front();
    found->second.pop_front();
    used[other] = true;
    take(ours, i, pairs.ours);
    take(theirs, other, pairs.theirs);
  }
  if (pairs.ours.scores.empty())
    throw Error(
        ExitCode::data,
        fmt::format("no prompt of {} is one of {}: the first is {} ({}) here and {} ({}) there. A win rate needs "
                    "responses to the same prompts; give [evaluate] scores and opponent_scores of such",
                    our_paths, their_paths, shown(ours.prompts.front()), ours.places.front(),
                    shown(theirs.prompts.front()), theirs.places.front()));
  const std::set<std::string> known(ours.prompts.begin(), ours.prompts.end());
  for (std::size_t i = 0; i < used.size(); ++i)
    if (!used[i])
      pairs.their_left_out.add(known.contains(theirs.prompts[i]) ? kNoResponse : kNoPrompt, theirs.places[i]);
  return pairs;
}

WinRates compare(const ScoredResponses& ours, const ScoredResponses& theirs) {
  return {win_rate(ours.scores, theirs.scores),
          length_controlled_win_rate(ours.scores, theirs.scores, ours.lengths, theirs.lengths)};
}

}  // namespace coxswain
