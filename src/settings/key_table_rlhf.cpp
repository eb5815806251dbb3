#include "settings/key_table_rlhf.h"

#include "settings/key_builder.h"

namespace coxswain {

void add_chat_keys(std::vector<Key>& keys) {
  using C = ChatConfig;
  const std::string any = "text with \\n, \\t and \\x20, or empty";
  SectionBuilder<C>(keys, "chat", &Settings::chat)
      .text("system_prefix", &C::system_prefix, any, {"", "in front of the system's text"})
      .text("user_prefix", &C::user_prefix, any,
            {"", "in front of a user's text; <|endoftext|> in any key of this section is that token"})
      .text("turn_end", &C::turn_end, any, {"", "behind a system's or a user's text"})
      .text("assistant_prefix", &C::assistant_prefix, any, {"", "in front of a response; a prompt ends with it"})
      .text("response_start", &C::response_start, any,
            {"", "what every response begins with; learned, and taken off when a response is read back"})
      .text("stop", &C::stop, any, {"", "behind a response, learned; empty: the tokenizer's end-of-document token"});
}

}  // namespace coxswain
