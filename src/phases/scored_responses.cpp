#include "phases/scored_responses.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>

#include "base/error.h"

namespace coxswain {

namespace {

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

}  // namespace

ScoredLines read_scored_lines(const RecordFiles& files, Communicator& world, Log& log) {
  ScoredLines lines;
  DropReport dropped;
  read_records(files, world, log, dropped, [&](const nlohmann::json& record, const std::string&) {
    if (!record.is_object() || !record.contains("score") || !record["score"].is_number())
      throw BadRecord("no number under \"score\"");
    const auto prompt = record.find("prompt");
    if (prompt == record.end() || (!prompt->is_string() && !prompt->is_array()))
      throw BadRecord("no text and no array of messages under \"prompt\"");
    lines.prompts.push_back(prompt->dump());
    lines.scores.push_back(record["score"].get<double>());
    lines.tokens.push_back(tokens_of(record));
    lines.bytes.push_back(bytes_of(record));
  });
  if (lines.scores.empty())
    throw Error(ExitCode::data, fmt::format("{} = {}: no line with a prompt and a score", files.key, files.paths));
  return lines;
}

ScoredPairs pair_by_prompt(const ScoredLines& ours, const ScoredLines& theirs) {
  std::unordered_map<std::string, std::deque<std::size_t>> waiting;
  for (std::size_t i = 0; i < theirs.prompts.size(); ++i) waiting[theirs.prompts[i]].push_back(i);
  std::vector<std::pair<std::size_t, std::size_t>> places;
  for (std::size_t i = 0; i < ours.prompts.size(); ++i) {
    const auto found = waiting.find(ours.prompts[i]);
    if (found == waiting.end() || found->second.empty()) continue;
    places.emplace_back(i, found->second.front());
    found->second.pop_front();
  }
  ScoredPairs pairs;
  pairs.in_tokens = std::all_of(places.begin(), places.end(), [&](const auto& place) {
    return ours.tokens[place.first] >= 0 && theirs.tokens[place.second] >= 0;
  });
  const auto take = [&](const ScoredLines& lines, std::size_t place, ScoredResponses& side) {
    side.scores.push_back(lines.scores[place]);
    side.lengths.push_back(pairs.in_tokens ? lines.tokens[place] : lines.bytes[place]);
  };
  for (const auto& [mine, other] : places) {
    take(ours, mine, pairs.ours);
    take(theirs, other, pairs.theirs);
  }
  pairs.our_lines_left_out = std::ssize(ours.prompts) - std::ssize(places);
  pairs.their_lines_left_out = std::ssize(theirs.prompts) - std::ssize(places);
  return pairs;
}

WinRates compare(const ScoredResponses& ours, const ScoredResponses& theirs) {
  return {win_rate(ours.scores, theirs.scores),
          length_controlled_win_rate(ours.scores, theirs.scores, ours.lengths, theirs.lengths)};
}

}  // namespace coxswain
