#include "data/cleaning.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "base/require.h"
#include "base/text.h"
#include "data/utf8.h"

namespace coxswain {

namespace {

// The first characters of a text, all of it if it has fewer.
std::string_view first_characters(std::string_view text, int count) {
  std::size_t end = 0;
  for (int i = 0; i < count && end < text.size(); ++i) {
    end += static_cast<std::size_t>(std::max(1, utf8_length(text, end)));
  }
  return text.substr(0, end);
}

// The words of a conversation in one string. A system's text, which many prompts share, is no part of it.
std::string words_of(const Conversation& turns) {
  std::string words;
  for (const Turn& turn : turns) {
    if (turn.role == Role::system) continue;
    if (!words.empty()) words += '\x1e';
    words += turn.text;
  }
  return words;
}

}  // namespace

void PrepareConfig::check() const {
  require(validation_share >= 0 && validation_share < 1, "[prepare] validation_share", validation_share,
          "must be at least 0 and less than 1");
  require(test_share >= 0 && test_share < 1, "[prepare] test_share", test_share, "must be at least 0 and less than 1");
  require(validation_share + test_share < 1, "[prepare] test_share", test_share,
          fmt::format("and validation_share = {} leave nothing to train on", validation_share));
  require(prefix_length > 0, "[prepare] prefix_length", prefix_length, "must be positive");
  require(max_per_user >= 0, "[prepare] max_per_user", max_per_user, "must not be negative; 0: no limit");
  require(max_prompt_tokens > 0, "[prepare] max_prompt_tokens", max_prompt_tokens, "must be positive");
  require(max_response_tokens > 0, "[prepare] max_response_tokens", max_response_tokens, "must be positive");
}

std::string PrepareConfig::report_path() const {
  if (!report.empty()) return report;
  std::filesystem::path path = output;
  return path.replace_filename(path.stem().string() + "_report.json").string();
}

Split split_of(const std::string& user, std::uint64_t seed, double validation_share, double test_share) {
  const double place = static_cast<double>(XXH3_64bits_withSeed(user.data(), user.size(), seed) >> 11) * 0x1p-53;
  if (place < test_share) return Split::test;
  return place >= 1.0 - validation_share ? Split::validation : Split::train;
}

Cleaning::Cleaning(const PrepareConfig& config, std::uint64_t seed, const ChatFormat& chat)
    : config_(config), seed_(seed), chat_(&chat) {}

std::string Cleaning::filter_text(std::string& text) {
  if (config_.personal_data == PersonalDataRule::keep) return "";
  PersonalCounts found{};
  std::string masked = personal_data_.mask(text, found);
  std::string why;
  for (std::size_t kind = 0; kind < found.size(); ++kind) {
    personal_[kind] += found[kind];
    if (found[kind] > 0 && why.empty()) why = fmt::format("personal data: {}", personal_name(kPersonalKinds[kind]));
  }
  if (config_.personal_data == PersonalDataRule::drop) return why;
  text = std::move(masked);
  return "";
}

std::ptrdiff_t Cleaning::turns_to_cut(const Conversation& prompt) const {
  Conversation rest = prompt;
  std::ptrdiff_t cut = 0;
  while (std::ssize(chat_->encode_prompt(rest)) > config_.max_prompt_tokens) {
    const auto oldest = rest.begin() + (rest.front().role == Role::system ? 1 : 0);
    const auto next = std::find_if(oldest + 1, rest.end(), [](const Turn& turn) { return turn.role == Role::user; });
    if (config_.long_prompts == LongPrompts::drop || next == rest.end()) {
      throw UnusableRecord(fmt::format("prompt of more than {} tokens", config_.max_prompt_tokens));
    }
    cut += next - oldest;
    rest.erase(oldest, next);
  }
  return cut;
}

void Cleaning::filter_prompt(Record& record) {
  for (Turn& turn : record.prompt) {
    if (const std::string why = filter_text(turn.text); !why.empty()) throw UnusableRecord(why);
  }
}

void Cleaning::check_responses(Record& record, const std::string& place) {
  std::vector<std::string> why;
  for (std::string& response : record.responses) {
    why.push_back(trim(response).empty() ? "empty response" : "");
    chat_->check_text(response);
    if (static_cast<std::int64_t>(chat_->encode_response(response).size()) > config_.max_response_tokens) {
      why.back() = fmt::format("response of more than {} tokens", config_.max_response_tokens);
    }
    if (why.back().empty()) why.back() = filter_text(response);
  }
  if (!record.ranks.empty()) {
    leave_out_responses(record, why, place, dropped_responses_);
  } else if (!why.empty() && !why.front().empty()) {
    throw UnusableRecord(why.front());
  }
}

std::string Cleaning::duplicate_key(const Record& record) const {
  std::string key(first_characters(words_of(record.prompt), config_.prefix_length));
  if (config_.duplicates == Duplicates::prompts) return key;
  key = words_of(record.prompt);
  for (const std::string& response : record.responses) key += '\x1d' + response;
  return key + '\x1d' + record.labeler;
}

Split Cleaning::clean(Record& record, const std::string& place) {
  chat_->check_texts(record.prompt);
  const std::ptrdiff_t cut = turns_to_cut(record.prompt);
  filter_prompt(record);
  check_responses(record, place);
  if (config_.duplicates != Duplicates::keep && !seen_.insert(duplicate_key(record)).second) {
    throw UnusableRecord(config_.duplicates == Duplicates::prompts
                             ? fmt::format("prompt that shares its first {} characters", config_.prefix_length)
                             : "record that is there already");
  }
  if (!record.user.empty()) {
    std::int64_t& kept = kept_of_user_[record.user];
    if (config_.max_per_user > 0 && kept >= config_.max_per_user) {
      throw UnusableRecord(fmt::format("more than {} of a user", config_.max_per_user));
    }
    ++kept;
  }
  const std::string prefix(first_characters(words_of(record.prompt), config_.prefix_length));
  const std::string owner = record.user.empty() ? "prompt:" + prefix : "user:" + record.user;
  const auto oldest = record.prompt.begin() + (record.prompt.front().role == Role::system ? 1 : 0);
  record.prompt.erase(oldest, oldest + cut);
  if (cut > 0) ++shortened_;
  return split_of(owner, seed_, config_.validation_share, config_.test_share);
}

}  // namespace coxswain
