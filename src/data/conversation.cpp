#include "data/conversation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "data/json_lines.h"

namespace coxswain {

namespace {

struct TranscriptMarker {
  Role role;
  std::string_view text;
};
constexpr std::array<TranscriptMarker, 3> kTranscriptMarkers = {
    {{Role::system, "System:"}, {Role::user, "Human:"}, {Role::assistant, "Assistant:"}}};

void append(const std::vector<std::int32_t>& more, std::vector<std::int32_t>& tokens) {
  tokens.insert(tokens.end(), more.begin(), more.end());
}

std::string_view left_trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos ? std::string_view() : text.substr(first);
}

// The marker that begins at `place`, which is the text's start or follows an empty line; null if none does.
const TranscriptMarker* marker_at(std::string_view text, std::size_t place) {
  for (const TranscriptMarker& marker : kTranscriptMarkers) {
    if (text.substr(place).starts_with(marker.text) && (marker.role != Role::system || place == 0)) return &marker;
  }
  return nullptr;
}

// Place of the next marker after an empty line, from `place` on; the text's size if there is none.
std::size_t next_marker(std::string_view text, std::size_t place) {
  for (std::size_t at = text.find("\n\n", place); at != std::string_view::npos; at = text.find("\n\n", at + 1)) {
    if (marker_at(text, at + 2) != nullptr) return at + 2;
  }
  return text.size();
}

}  // namespace

const char* role_name(Role role) { return role == Role::system ? "system" : role == Role::user ? "user" : "assistant"; }

bool is_transcript(std::string_view text) {
  text = left_trimmed(text);
  const TranscriptMarker* first = marker_at(text, 0);
  return first != nullptr && first->role != Role::assistant && text.find("\n\nAssistant:") != std::string_view::npos;
}

Conversation parse_transcript(std::string_view text) {
  text = left_trimmed(text);
  Conversation turns;
  for (std::size_t place = 0; place < text.size();) {
    const TranscriptMarker* marker = marker_at(text, place);
    if (marker == nullptr) throw BadRecord("a transcript begins with \"Human:\" or \"System:\"");
    const std::size_t begin = place + marker->text.size(), end = next_marker(text, begin);
    turns.push_back({marker->role, trim(text.substr(begin, end - begin))});
    place = end;
  }
  if (!turns.empty() && turns.back().role == Role::assistant && turns.back().text.empty()) turns.pop_back();
  for (const Turn& turn : turns) {
    if (turn.text.empty()) throw UnusableRecord("a turn without text");
  }
  return turns;
}

ChatFormat::ChatFormat(const ChatConfig& config, Tokenizer& tokenizer) : config_(config), tokenizer_(&tokenizer) {
  if (config_.stop.empty()) config_.stop = kEndOfDocumentText;
  system_prefix_ = encode_marker(config_.system_prefix);
  user_prefix_ = encode_marker(config_.user_prefix);
  turn_end_ = encode_marker(config_.turn_end);
  assistant_prefix_ = encode_marker(config_.assistant_prefix);
  stop_ = encode_marker(config_.stop);
  for (const std::string& marker :
       {config_.system_prefix, config_.user_prefix, config_.assistant_prefix, config_.stop}) {
    if (!trim(marker).empty() && marker.find(kEndOfDocumentText) == std::string::npos) forgeable_.push_back(marker);
  }
}

std::vector<std::int32_t> ChatFormat::encode_marker(std::string_view marker) const {
  std::vector<std::int32_t> tokens;
  while (true) {
    const std::size_t found = marker.find(kEndOfDocumentText);
    tokenizer_->encode(marker.substr(0, found), tokens);
    if (found == std::string_view::npos) return tokens;
    tokens.push_back(tokenizer_->end_of_document());
    marker.remove_prefix(found + kEndOfDocumentText.size());
  }
}

void ChatFormat::append_turn(const Turn& turn, std::vector<std::int32_t>& tokens) const {
  if (turn.role == Role::assistant) {
    append(assistant_prefix_, tokens);
    append(encode_response(turn.text), tokens);
    return;
  }
  append(turn.role == Role::system ? system_prefix_ : user_prefix_, tokens);
  tokenizer_->encode(turn.text, tokens);
  append(turn_end_, tokens);
}

std::vector<std::int32_t> ChatFormat::encode_prompt(const Conversation& prompt) const {
  std::vector<std::int32_t> tokens;
  for (const Turn& turn : prompt) append_turn(turn, tokens);
  append(assistant_prefix_, tokens);
  return tokens;
}

std::vector<std::int32_t> ChatFormat::encode_response(std::string_view text) const {
  std::vector<std::int32_t> tokens = tokenizer_->encode(config_.response_start + std::string(text));
  append(stop_, tokens);
  return tokens;
}

EncodedConversation ChatFormat::encode(const Conversation& conversation, Learned learned) const {
  EncodedConversation out;
  for (std::size_t i = 0; i < conversation.size(); ++i) {
    append_turn(conversation[i], out.tokens);
    const bool response = conversation[i].role == Role::assistant;
    const bool counts = response && (learned == Learned::all_responses || i + 1 == conversation.size());
    const std::size_t before = out.is_response.size();
    out.is_response.resize(out.tokens.size(), counts ? 1 : 0);
    if (counts) std::fill_n(out.is_response.begin() + static_cast<std::ptrdiff_t>(before), assistant_prefix_.size(), 0);
  }
  return out;
}

std::vector<std::vector<std::int32_t>> ChatFormat::ends() const {
  std::vector<std::vector<std::int32_t>> ends{stop_};
  if (const std::vector<std::int32_t> of_document{tokenizer_->end_of_document()}; stop_ != of_document)
    ends.push_back(of_document);
  return ends;
}

std::string ChatFormat::decode_response(std::span<const std::int32_t> response) const {
  for (const std::vector<std::int32_t>& end : ends()) {
    const std::size_t length = end.size();
    if (length == 0 || response.size() < length || !std::equal(end.begin(), end.end(), response.end() - length))
      continue;
    response = response.first(response.size() - length);
    break;
  }
  std::string text = tokenizer_->decode(response);
  if (text.starts_with(config_.response_start)) text.erase(0, config_.response_start.size());
  return text;
}

void ChatFormat::check_text(std::string_view text) const {
  for (const std::string& marker : forgeable_) {
    if (text.find(marker) != std::string_view::npos) {
      throw UnusableRecord(fmt::format("a text with a marker of [chat] in it, {}", escape(marker)));
    }
  }
}

void ChatFormat::check_texts(const Conversation& conversation) const {
  for (const Turn& turn : conversation) check_text(turn.text);
}

}  // namespace coxswain
