#include "data/record.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/text.h"
#include "data/json_lines.h"

namespace coxswain {

namespace {

using nlohmann::json;
using Strings = std::vector<std::string>;

[[noreturn]] void wrong_type(const std::string& key, const json& value, const char* wanted) {
  throw BadRecord(fmt::format("\"{}\" is {}, {} is wanted", key,
                              value.is_null() ? "null" : fmt::format("a JSON {}", value.type_name()), wanted));
}

[[noreturn]] void missing(const std::string& key, const json& line) {
  constexpr std::size_t kShown = 8;
  Strings keys;
  for (const auto& item : line.items()) {
    if (keys.size() < kShown) keys.push_back(escape(item.key()));
  }
  throw BadRecord(
      fmt::format("no key {}; the line has {}", key, keys.empty() ? "none" : fmt::format("{}", fmt::join(keys, ", "))));
}

const json& field(const json& line, const std::string& key) {
  if (!line.contains(key)) missing(fmt::format("\"{}\"", key), line);
  return line.at(key);
}

std::string text_of(const json& value, const std::string& key) {
  if (!value.is_string()) wrong_type(key, value, "a string");
  return value.get<std::string>();
}

std::string text(const json& line, const std::string& key) { return text_of(field(line, key), key); }

// A name or number that is there or not.
std::string label(const json& line, const std::string& key) {
  if (!line.contains(key) || line.at(key).is_null()) return "";
  const json& value = line.at(key);
  if (value.is_number() || value.is_boolean()) return value.dump();
  return text_of(value, key);
}

bool has(const json& line, const char* key) { return line.contains(key) && !line.at(key).is_null(); }

Role role_of(const std::string& name) {
  if (name == "user" || name == "human") return Role::user;
  if (name == "assistant") return Role::assistant;
  if (name == "system") return Role::system;
  throw BadRecord(fmt::format("role \"{}\" is not known; use system, user or assistant", escape(name)));
}

Conversation messages_of(const json& value, const std::string& key) {
  if (!value.is_array()) wrong_type(key, value, "an array of {\"role\", \"content\"}");
  Conversation turns;
  for (const json& message : value) {
    if (!message.is_object()) wrong_type(key, message, "an object with \"role\" and \"content\"");
    turns.push_back({role_of(text(message, "role")), text(message, "content")});
    if (turns.back().role == Role::system && turns.size() > 1) throw BadRecord("a system turn that is not the first");
    if (trim(turns.back().text).empty()) throw UnusableRecord("a turn without text");
  }
  if (turns.empty()) throw UnusableRecord("a conversation without turns");
  return turns;
}

// A string with one user's words or a transcript, or an array of messages; `system` in front, where the line has it.
Conversation prompt_of(const json& line, const std::string& key) {
  const json& value = field(line, key);
  if (value.is_array()) return messages_of(value, key);
  const std::string words = text_of(value, key);
  if (is_transcript(words)) return parse_transcript(words);
  if (trim(words).empty()) throw UnusableRecord("empty prompt");
  Conversation turns;
  if (const std::string system = label(line, "system"); !system.empty()) turns.push_back({Role::system, system});
  turns.push_back({Role::user, words});
  return turns;
}

// Of a response beside its prompt. Behind a transcript, which ends with "Assistant:", white space is part of the form.
std::string beside_prompt(const json& line, const std::string& response) {
  const auto prompt = line.find("prompt");
  const bool transcript =
      prompt != line.end() && prompt->is_string() && is_transcript(prompt->get_ref<const std::string&>());
  return transcript ? trim(response) : response;
}

void require_prompt(const Conversation& prompt) {
  if (prompt.empty() || prompt.back().role != Role::user)
    throw UnusableRecord("a prompt that ends with no user's turn");
}

std::string response_text(const std::string& response) {
  if (trim(response).empty()) throw UnusableRecord("empty response");
  return response;
}

// ---- demonstrations

Record from_whole(Conversation turns, Learned learned) {
  if (turns.empty() || turns.back().role != Role::assistant) {
    throw UnusableRecord("a conversation that ends with no response");
  }
  Record record;
  record.responses = {response_text(turns.back().text)};
  turns.pop_back();
  record.prompt = std::move(turns);
  record.learned = learned;
  return record;
}

Record from_instruction(const std::string& instruction, const std::string& input, const std::string& output) {
  if (trim(instruction + input).empty()) throw UnusableRecord("empty prompt");
  Record record;
  record.prompt = {{Role::user, trim(input).empty() ? instruction : instruction + "\n\n" + input}};
  record.responses = {response_text(output)};
  return record;
}

std::vector<Record> instruction_records(const json& line) {
  const std::string instruction = text(line, "instruction");
  if (!line.contains("instances")) return {from_instruction(instruction, label(line, "input"), text(line, "output"))};
  const json& instances = line.at("instances");
  if (!instances.is_array()) wrong_type("instances", instances, "an array of {\"input\", \"output\"}");
  std::vector<Record> records;
  for (const json& instance : instances) {
    if (!instance.is_object()) wrong_type("instances", instance, "an object with \"input\" and \"output\"");
    records.push_back(from_instruction(instruction, label(instance, "input"), text(instance, "output")));
  }
  return records;
}

std::vector<Record> demonstration_records(const json& line) {
  if (has(line, "messages")) return {from_whole(messages_of(line.at("messages"), "messages"), Learned::all_responses)};
  if (has(line, "instruction")) return instruction_records(line);
  Record record;
  record.prompt = prompt_of(line, "prompt");
  const char* key = line.contains("completion") ? "completion" : "response";
  record.responses = {response_text(beside_prompt(line, text(line, key)))};
  return {record};
}

// ---- comparisons

std::vector<double> numbers(const json& value, const std::string& key) {
  if (!value.is_array()) wrong_type(key, value, "an array of numbers");
  std::vector<double> all;
  for (const json& one : value) {
    if (!one.is_number()) wrong_type(key, one, "a number");
    all.push_back(one.get<double>());
    if (!std::isfinite(all.back())) throw BadRecord(fmt::format("\"{}\" has a number that is not finite", key));
  }
  return all;
}

// 1 for the highest score, 2 for the next lower one ...
std::vector<int> ranks_of_scores(const std::vector<double>& scores) {
  std::vector<double> distinct = scores;
  std::sort(distinct.begin(), distinct.end(), std::greater<>());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  std::vector<int> ranks;
  for (const double score : scores) {
    ranks.push_back(1 + static_cast<int>(std::find(distinct.begin(), distinct.end(), score) - distinct.begin()));
  }
  return ranks;
}

std::vector<int> given_ranks(const json& line) {
  std::vector<int> ranks;
  for (const double rank : numbers(line.at("ranks"), "ranks")) {
    if (rank != std::floor(rank) || rank < 0 || rank > std::numeric_limits<int>::max()) {
      throw BadRecord(fmt::format("\"ranks\" has {}; whole numbers are wanted, 1 for the best", rank));
    }
    ranks.push_back(static_cast<int>(rank));
  }
  return ranks;
}

// `best`: the place of the chosen response, from 0; the others tie.
std::vector<int> ranks_of_best(const json& value, std::size_t responses) {
  if (!value.is_number_integer()) wrong_type("best", value, "a whole number");
  const double best = value.get<double>();
  if (best < 0 || best >= static_cast<double>(responses)) {
    throw BadRecord(
        fmt::format("\"best\" is {}, there are responses 0 to {}", best, static_cast<std::int64_t>(responses) - 1));
  }
  std::vector<int> ranks(responses, 2);
  ranks[static_cast<std::size_t>(best)] = 1;
  return ranks;
}

Record ranked_record(const json& line) {
  Record record;
  record.prompt = prompt_of(line, "prompt");
  const json& responses = field(line, "responses");
  if (!responses.is_array()) wrong_type("responses", responses, "an array of strings");
  for (const json& response : responses) {
    record.responses.push_back(beside_prompt(line, text_of(response, "responses")));
  }
  if (has(line, "ranks")) {
    record.ranks = given_ranks(line);
  } else if (has(line, "scores")) {
    record.ranks = ranks_of_scores(numbers(line.at("scores"), "scores"));
  } else if (has(line, "best")) {
    record.ranks = ranks_of_best(line.at("best"), record.responses.size());
  } else {
    missing("\"ranks\", \"scores\" or \"best\"", line);
  }
  if (record.ranks.size() != record.responses.size()) {
    throw BadRecord(fmt::format("{} responses and {} ranks", record.responses.size(), record.ranks.size()));
  }
  return record;
}

// A whole conversation, of which the other one must share all but the last turn.
Conversation whole_of(const json& line, const std::string& key) {
  const json& value = field(line, key);
  if (value.is_array()) return messages_of(value, key);
  const std::string words = text_of(value, key);
  if (!is_transcript(words)) {
    throw BadRecord(fmt::format("\"{}\" is no transcript, and there is no \"prompt\" beside it", key));
  }
  return parse_transcript(words);
}

// A response that stands apart from its prompt, as a text or as the only message; nothing where it is a whole
// conversation.
std::optional<std::string> lone_response(const json& line, const std::string& key) {
  const json& value = field(line, key);
  if (value.is_array()) {
    const Conversation turns = messages_of(value, key);
    if (turns.size() == 1 && turns.front().role == Role::assistant) return turns.front().text;
    return std::nullopt;
  }
  const std::string words = text_of(value, key);
  if (is_transcript(words)) return std::nullopt;
  return beside_prompt(line, words);
}

Record pair_record(const json& line) {
  Record record;
  const auto chosen_alone = has(line, "prompt") ? lone_response(line, "chosen") : std::nullopt;
  if (chosen_alone) {
    record.prompt = prompt_of(line, "prompt");
    const auto rejected_alone = lone_response(line, "rejected");
    record.responses = {*chosen_alone, rejected_alone ? *rejected_alone : text(line, "rejected")};
  } else {
    Record chosen = from_whole(whole_of(line, "chosen"), Learned::last_response);
    Record rejected = from_whole(whole_of(line, "rejected"), Learned::last_response);
    if (chosen.prompt != rejected.prompt) throw UnusableRecord("chosen and rejected differ before the last response");
    record = std::move(chosen);
    record.responses.push_back(rejected.responses.front());
  }
  record.ranks = {1, 2};
  return record;
}

// ---- any

std::vector<Record> own_records(const json& line, RecordKind kind) {
  if (kind == RecordKind::demonstrations) return demonstration_records(line);
  if (kind == RecordKind::comparisons) return {has(line, "chosen") ? pair_record(line) : ranked_record(line)};
  Record record;
  record.prompt = has(line, "messages")      ? messages_of(line.at("messages"), "messages")
                  : has(line, "instruction") ? prompt_of(line, "instruction")
                                             : prompt_of(line, "prompt");
  return {record};
}

void become(RecordKind wanted, RecordKind own, Record& record) {
  if (wanted == RecordKind::comparisons && own == wanted && record.responses.empty())
    throw UnusableRecord("comparison without responses");
  if (wanted == own) return;
  if (wanted == RecordKind::prompts) {
    record.responses.clear();
    record.ranks.clear();
    return;
  }
  if (own == RecordKind::comparisons && wanted == RecordKind::demonstrations) {
    if (record.ranks.empty()) throw UnusableRecord("no response");
    const auto best = std::min_element(record.ranks.begin(), record.ranks.end()) - record.ranks.begin();
    record.responses = {response_text(record.responses[static_cast<std::size_t>(best)])};
    record.ranks.clear();
    return;
  }
  throw BadRecord(wanted == RecordKind::comparisons
                      ? "no \"responses\" with \"ranks\", and no \"chosen\" and \"rejected\""
                      : "no \"response\", \"output\" or \"messages\" beside the prompt");
}

nlohmann::ordered_json messages_json(const Conversation& turns) {
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();
  for (const Turn& turn : turns) messages.push_back({{"role", role_name(turn.role)}, {"content", turn.text}});
  return messages;
}

}  // namespace

const char* kind_name(RecordKind kind) {
  switch (kind) {
    case RecordKind::prompts:
      return "prompts";
    case RecordKind::demonstrations:
      return "demonstrations";
    case RecordKind::comparisons:
      return "comparisons";
    case RecordKind::automatic:
      break;
  }
  return "auto";
}

RecordKind kind_of(const json& line) {
  if (has(line, "chosen") || has(line, "rejected") || has(line, "responses")) return RecordKind::comparisons;
  for (const char* key : {"response", "completion", "output", "instances"}) {
    if (line.contains(key)) return RecordKind::demonstrations;
  }
  if (has(line, "messages") && line.at("messages").is_array() && !line.at("messages").empty()) {
    const json& last = line.at("messages").back();
    if (last.is_object() && last.value("role", json()) == "assistant") return RecordKind::demonstrations;
  }
  return RecordKind::prompts;
}

std::vector<Record> parse_records(const json& line, RecordKind wanted) {
  const RecordKind own = kind_of(line);
  std::vector<Record> records = own_records(line, own);
  for (Record& record : records) {
    require_prompt(record.prompt);
    become(wanted == RecordKind::automatic ? own : wanted, own, record);
    record.id = label(line, "id");
    record.user = label(line, "user");
    record.labeler = label(line, "labeler");
    record.source = label(line, "source");
  }
  return records;
}

std::string plain_text(const Conversation& prompt) {
  if (prompt.size() == 1 && prompt.front().role == Role::user) return prompt.front().text;
  std::string text;
  for (const Turn& turn : prompt) {
    const char* marker = turn.role == Role::system ? "System" : turn.role == Role::user ? "Human" : "Assistant";
    text += fmt::format("\n\n{}: {}", marker, turn.text);
  }
  return text + "\n\nAssistant:";
}

std::string to_json_line(const Record& record) {
  nlohmann::ordered_json line;
  const auto put = [&line](const char* key, const std::string& value) {
    if (!value.empty()) line[key] = value;
  };
  put("id", record.id);
  put("user", record.user);
  put("labeler", record.labeler);
  put("source", record.source);
  const bool single = record.prompt.size() == 1 && !is_transcript(record.prompt.front().text);
  if (record.learned == Learned::all_responses && !record.responses.empty()) {
    Conversation whole = record.prompt;
    whole.push_back({Role::assistant, record.responses.front()});
    line["messages"] = messages_json(whole);
  } else {
    line["prompt"] = single ? nlohmann::ordered_json(record.prompt.front().text) : messages_json(record.prompt);
    if (!record.ranks.empty()) {
      line["responses"] = record.responses;
      line["ranks"] = record.ranks;
    } else if (!record.responses.empty()) {
      line["response"] = record.responses.front();
    }
  }
  return line.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace coxswain
