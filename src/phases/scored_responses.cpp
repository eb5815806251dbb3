#include "phases/scored_responses.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/error.h"

namespace coxswain {

namespace {

constexpr const char* kNoPrompt = "a prompt of one side only";
constexpr const char* kNoResponse = "more responses to the prompt than on the other side";

double tokens_of(const nlohmann::json& record) {
  const auto tokens = record.find("tokens");
  if (tokens != record.end() && tokens->is_number()) return tokens->get<double>();
  if (tokens != record.end() && tokens->is_array()) return static_cast<double>(tokens->size());
  return -1;
}

double bytes_of(const nlohmann::json& record) {
  const auto response = record.find("response");
  const bool text = response != record.end() && response->is_string();
  return text ? static_cast<double>(response->get_ref<const std::string&>().size()) : 0;
}

// The beginning of a prompt, for a message.
std::string shown(const std::string& prompt) {
  std::size_t end = std::min<std::size_t>(prompt.size(), 60);
  while (end < prompt.size() && (static_cast<unsigned char>(prompt[end]) & 0xc0) == 0x80) --end;  // whole characters
  return prompt.substr(0, end) + (end < prompt.size() ? "..." : "");
}

using Pairs = std::vector<std::pair<std::size_t, std::size_t>>;  // places among ours and theirs

// Fills the sides; lengths in one unit.
void take(const Pairs& pairs, const ScoredLines& ours, const ScoredLines& theirs, PairedResponses& paired) {
  paired.in_tokens = std::all_of(pairs.begin(), pairs.end(), [&](const auto& pair) {
    return ours.tokens[pair.first] >= 0 && theirs.tokens[pair.second] >= 0;
  });
  const auto add = [&](const ScoredLines& lines, std::size_t i, ScoredResponses& side) {
    side.scores.push_back(lines.scores[i]);
    side.lengths.push_back(paired.in_tokens ? lines.tokens[i] : lines.bytes[i]);
  };
  for (const auto& [mine, other] : pairs) {
    add(ours, mine, paired.ours);
    add(theirs, other, paired.theirs);
  }
}

}  // namespace

ScoredLines read_scored_lines(const RecordFiles& files, Communicator& world, Log& log) {
  ScoredLines lines;
  DropReport dropped;
  read_records(files, world, log, dropped, [&](const nlohmann::json& record, const std::string& place) {
    if (!record.is_object() || !record.contains("score") || !record["score"].is_number())
      throw BadRecord("no number under \"score\"");
    const auto prompt = record.find("prompt");
    if (prompt == record.end() || (!prompt->is_string() && !prompt->is_array()))
      throw BadRecord("no text and no array of messages under \"prompt\"");
    lines.prompts.push_back(prompt->dump());
    lines.places.push_back(place);
    lines.scores.push_back(record["score"].get<double>());
    lines.tokens.push_back(tokens_of(record));
    lines.bytes.push_back(bytes_of(record));
  });
  if (lines.scores.empty())
    throw Error(ExitCode::data, fmt::format("{} = {}: no line with a prompt and a score", files.key, files.paths));
  return lines;
}

PairedResponses pair_up(const ScoredLines& ours, const ScoredLines& theirs, const std::string& our_paths,
                        const std::string& their_paths) {
  std::map<std::string, std::deque<std::size_t>> unpaired;  // theirs, by prompt
  for (std::size_t i = 0; i < theirs.prompts.size(); ++i) unpaired[theirs.prompts[i]].push_back(i);
  PairedResponses paired;
  Pairs pairs;
  std::vector<bool> used(theirs.prompts.size(), false);
  for (std::size_t i = 0; i < ours.prompts.size(); ++i) {
    const auto found = unpaired.find(ours.prompts[i]);
    if (found == unpaired.end() || found->second.empty()) {
      paired.left_out.add(found == unpaired.end() ? kNoPrompt : kNoResponse, ours.places[i]);
      continue;
    }
    const std::size_t other = found->second.front();
    found->second.pop_front();
    used[other] = true;
    pairs.emplace_back(i, other);
  }
  if (pairs.empty())
    throw Error(
        ExitCode::data,
        fmt::format("no prompt of {} is one of {}: the first is {} ({}) here and {} ({}) there. A win rate needs "
                    "responses to the same prompts; give [evaluate] scores and opponent_scores of such",
                    our_paths, their_paths, shown(ours.prompts.front()), ours.places.front(),
                    shown(theirs.prompts.front()), theirs.places.front()));
  const std::set<std::string> known(ours.prompts.begin(), ours.prompts.end());
  for (std::size_t i = 0; i < used.size(); ++i)
    if (!used[i])
      paired.their_left_out.add(known.contains(theirs.prompts[i]) ? kNoResponse : kNoPrompt, theirs.places[i]);
  take(pairs, ours, theirs, paired);
  return paired;
}

WinRates compare(const ScoredResponses& ours, const ScoredResponses& theirs) {
  return {win_rate(ours.scores, theirs.scores),
          length_controlled_win_rate(ours.scores, theirs.scores, ours.lengths, theirs.lengths)};
}

}  // namespace coxswain
