// Conversations, and the text and tokens that a model sees of them ([chat] in the deck).
//
//   system:     system_prefix  text  turn_end
//   user:       user_prefix  text  turn_end
//   assistant:  assistant_prefix  [response_start text]  [stop]         [...]: learned, the response
//
// A prompt ends with assistant_prefix. Responses inside a prompt end with the stop as well, so that training on a whole
// conversation and prompting in the middle of one show the same tokens.
//
// Each piece above is tokenized by itself: the tokens of a text do not depend on the markers around it, and the tokens
// of a prompt are always a prefix of those of the whole conversation. <|endoftext|> in a marker of the deck becomes the
// end-of-document token; in a text it stays a dozen ordinary characters, so a marker that has it, and the default stop,
// cannot be forged by a text. A marker of ordinary characters can be (its tokens may be the same, with bytes they are):
// a text that contains one in full is unusable, see check_text().
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/config.h"
#include "data/tokenizer.h"

namespace coxswain {

enum class Role { system, user, assistant };

struct Turn {
  Role role = Role::user;
  std::string text;
  friend bool operator==(const Turn&, const Turn&) = default;
};

using Conversation = std::vector<Turn>;  // at most one system turn, the first

const char* role_name(Role role);

// hh-rlhf's form: "\n\nHuman: ...\n\nAssistant: ...", here also with "\n\nSystem: ..." in front. White space around a
// text is not part of it. A transcript that ends with "Assistant:" ends with a user's turn.
bool is_transcript(std::string_view text);             // begins with Human: or System: and has an Assistant: below
Conversation parse_transcript(std::string_view text);  // throws BadRecord, UnusableRecord

struct EncodedConversation {
  std::vector<std::int32_t> tokens;
  std::vector<std::uint8_t> is_response;  // 1: learned
};

enum class Learned { last_response, all_responses };

class ChatFormat {
 public:
  ChatFormat(const ChatConfig& config, Tokenizer& tokenizer);

  std::vector<std::int32_t> encode_prompt(const Conversation& prompt) const;
  std::vector<std::int32_t> encode_response(std::string_view text) const;  // with start and stop
  EncodedConversation encode(const Conversation& conversation, Learned learned) const;

  const std::vector<std::int32_t>& stop() const { return stop_; }  // the tokens that end a response
  // What ends one that a model draws: the stop, and the end of a document, behind which nothing belongs to it.
  std::vector<std::vector<std::int32_t>> ends() const;
  // The text of a response without response_start and, if it is there, without what ends it.
  std::string decode_response(std::span<const std::int32_t> response) const;

  // Throws UnusableRecord if the text contains a whole marker of ordinary characters, and so could pass for a turn.
  void check_text(std::string_view text) const;
  void check_texts(const Conversation& conversation) const;

 private:
  std::vector<std::int32_t> encode_marker(std::string_view marker) const;
  void append_turn(const Turn& turn, std::vector<std::int32_t>& tokens) const;

  ChatConfig config_;
  Tokenizer* tokenizer_;
  std::vector<std::int32_t> system_prefix_, user_prefix_, turn_end_, assistant_prefix_, stop_;
  std::vector<std::string> forgeable_;  // markers of more than white space, without <|endoftext|>
};

}  // namespace coxswain
