// Keys of conversations and of the phase that prepares them: [chat], [prepare].
#include "settings/key_builder.h"
#include "settings/key_groups.h"

namespace coxswain {

namespace {

constexpr auto kFree = OnRestart::free;

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

void add_prepare_keys(std::vector<Key>& keys) {
  using C = PrepareConfig;
  constexpr Range kShare{.least = 0, .most = 1, .open_most = true};
  SectionBuilder<C>(keys, "prepare", &Settings::prepare)
      .text("input", &C::input, "paths, ...", {"", "JSONL files, with wildcards", kFree})
      .choice("kind", &C::kind,
              {{"auto", RecordKind::automatic},
               {"prompts", RecordKind::prompts},
               {"demonstrations", RecordKind::demonstrations},
               {"comparisons", RecordKind::comparisons}},
              {"", "what the files become; auto: what the first record is", kFree})
      .text("output", &C::output, "a path", {"", "JSONL file to write, for training", kFree})
      .text("validation", &C::validation, "a path", {"", "the same, of validation_share of the users", kFree})
      .text("test", &C::test, "a path", {"", "the same, of test_share of the users", kFree})
      .text("report", &C::report, "a path, or empty",
            {"", "JSON file of what was left out and why; empty: output's name with _report.json", kFree})
      .number("validation_share", &C::validation_share, kShare,
              {"", "share of the users, by a hash of the name", kFree})
      .number("test_share", &C::test_share, kShare, {"", "share of the users, by a hash of the name", kFree})
      .choice("duplicates", &C::duplicates,
              {{"keep", Duplicates::keep}, {"prompts", Duplicates::prompts}, {"records", Duplicates::records}},
              {"", "which go: none, prompts with a long common prefix, whole records that are equal", kFree})
      .number("prefix_length", &C::prefix_length, kFromOne,
              {"characters", "at the start that make two prompts the same", kFree})
      .number("max_per_user", &C::max_per_user, kNotNegative, {"records", "of one user; 0: no limit", kFree})
      .number("max_prompt_tokens", &C::max_prompt_tokens, kFromOne, {"tokens", "longest prompt", kFree})
      .number("max_response_tokens", &C::max_response_tokens, kFromOne, {"tokens", "longest response", kFree})
      .choice("long_prompts", &C::long_prompts, {{"drop", LongPrompts::drop}, {"shorten", LongPrompts::shorten}},
              {"", "what happens to a longer prompt: left out, or it loses its oldest turns until it fits", kFree})
      .choice("personal_data", &C::personal_data,
              {{"keep", PersonalDataRule::keep}, {"mask", PersonalDataRule::mask}, {"drop", PersonalDataRule::drop}},
              {"", "e-mail addresses, telephone and card numbers, keys: what happens to texts with them", kFree});
}

}  // namespace

void add_record_keys(std::vector<Key>& keys) {
  add_chat_keys(keys);
  add_prepare_keys(keys);
}

}  // namespace coxswain
