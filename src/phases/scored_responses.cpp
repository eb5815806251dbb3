#include "phases/scored_responses.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace coxswain {

namespace {

double length_of(const nlohmann::json& record) {
  const auto tokens = record.find("tokens");
  if (tokens != record.end() && tokens->is_number()) return tokens->get<double>();
  if (tokens != record.end() && tokens->is_array()) return static_cast<double>(tokens->size());
  return static_cast<double>(record.value("response", std::string()).size());
}

}  // namespace

ScoredResponses read_scored_responses(const RecordFiles& files, Communicator& world, Log& log) {
  ScoredResponses responses;
  DropReport dropped;
  read_records(files, world, log, dropped, [&](const nlohmann::json& record, const std::string&) {
    if (!record.is_object() || !record.contains("score") || !record["score"].is_number())
      throw BadRecord("no number under \"score\"");
    const auto prompt = record.find("prompt");
    if (prompt == record.end() || (!prompt->is_string() && !prompt->is_array()))
      throw BadRecord("no text and no array of messages under \"prompt\"");
    responses.scores.push_back(record["score"].get<double>());
    responses.lengths.push_back(length_of(record));
    responses.prompts.push_back(prompt->dump());
  });
  if (responses.scores.empty())
    throw Error(ExitCode::data, fmt::format("{} = {}: no line with a prompt and a score", files.key, files.paths));
  return responses;
}

void check_same_prompts(const ScoredResponses& ours, const ScoredResponses& theirs, const std::string& our_path,
                        const std::string& their_path) {
  if (ours.prompts == theirs.prompts) return;
  std::size_t i = 0;
  while (i < ours.prompts.size() && i < theirs.prompts.size() && ours.prompts[i] == theirs.prompts[i]) ++i;
  throw Error(ExitCode::data,
              fmt::format("{} and {} must hold the same prompts in the same order: they have {} and {} of them, and "
                          "number {} differs",
                          our_path, their_path, ours.prompts.size(), theirs.prompts.size(), i + 1));
}

WinRates compare(const ScoredResponses& ours, const ScoredResponses& theirs) {
  return {win_rate(ours.scores, theirs.scores),
          length_controlled_win_rate(ours.scores, theirs.scores, ours.lengths, theirs.lengths)};
}

}  // namespace coxswain
