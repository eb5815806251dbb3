#include "data/personal_data.h"

#include <string_view>

namespace coxswain {

namespace {

// Published forms of keys, private keys, and what stands behind "password:" or "api key =".
constexpr const char* kKey =
    R"((?<![\w-])(?:sk-[\w-]{20,}|(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_\w{36,}|github_pat_\w{22,}|glpat-[\w-]{20,})"
    R"(|xox[abeprs]-[\w-]{10,}|AIza[\w-]{35}|hf_[A-Za-z0-9]{30,}|[rs]k_(?:live|test)_[A-Za-z0-9]{16,})"
    R"(|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}))"
    R"(|-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^-]{0,8192}-----END [A-Z ]*PRIVATE KEY-----)?)"
    R"(|(?i)\b(?:password|passwd|passphrase|api[ _-]?key|secret[ _-]?key|access[ _-]?token|auth[ _-]?token)\b)"
    R"(["']?\s{0,3}(?:[:=]|\bis\b)\s{0,3}["']?(?=[^\s"']{0,128}\d)[^\s"',;]{8,128})";

constexpr const char* kEmail =
    R"((?<![\w.+%-])[\w.+%-]{1,64}@(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]{0,61}[\p{L}\p{N}])?\.){1,8}\p{L}{2,24}(?![\w@-]))";

constexpr const char* kCard = R"((?<![\w.,-])\d(?:[ -]?\d){12,18}(?![\w]|[.,-]\d))";

// +49 30 1234567; (212) 555-0123, 212-555-0123, 1-800-555-0199, 212 555 0123 (where no other number stands beside it,
// as in a list of numbers); 01 23 45 67 89; 030 1234567.
constexpr const char* kPhone =
    R"((?<![\w+.,/-])(?:\+[1-9](?:[ ./()-]{0,2}\d){7,14})"
    R"(|(?:\+?1[ .-]?)?(?:\([2-9]\d{2}\)[ .-]?[2-9]\d{2}[ .-]\d{4}|[2-9]\d{2}([.-])[2-9]\d{2}\1\d{4}))"
    R"(|(?<!\d )(?:\+?1 )?[2-9]\d{2} [2-9]\d{2} \d{4}(?! ?\d))"
    R"(|0[1-9]\d{0,3}([ ./-])\d{2,4}(?:\2\d{2,4}){2,3})"
    R"(|0[1-9]\d{1,4}[ /-]\d{3,4} ?\d{3,4}))"
    R"((?!\w|[.,:/-]\d))";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Length of the card number at the start of the text, which ends where a digit does not follow; 0: none.
std::size_t card_length(std::string_view text) {
  std::string digits;
  std::size_t length = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!is_digit(text[i])) continue;
    digits += text[i];
    const bool ends = i + 1 == text.size() || !is_digit(text[i + 1]);
    if (ends && is_card_number(digits)) length = i + 1;
  }
  return length;
}

const char* mask_of(PersonalKind kind) {
  switch (kind) {
    case PersonalKind::key:
      return "[KEY]";
    case PersonalKind::email:
      return "[E-MAIL]";
    case PersonalKind::card:
      return "[CARD]";
    case PersonalKind::phone:
      break;
  }
  return "[PHONE]";
}

std::string masked(const std::string& text, PersonalKind kind, const Pattern& pattern, std::int64_t& count) {
  std::string out;
  std::size_t done = 0;
  for (std::size_t from = 0; from < text.size();) {
    const auto found = pattern.find(text, from);
    if (!found) break;
    std::size_t length = found->end - found->begin;
    if (kind == PersonalKind::card) length = card_length(std::string_view(text).substr(found->begin, length));
    from = length > 0 ? found->begin + length : found->end;
    if (length == 0) continue;
    out.append(text, done, found->begin - done).append(mask_of(kind));
    done = from;
    ++count;
  }
  return done == 0 ? text : out.append(text, done);
}

}  // namespace

const char* personal_name(PersonalKind kind) {
  switch (kind) {
    case PersonalKind::key:
      return "key or password";
    case PersonalKind::email:
      return "e-mail address";
    case PersonalKind::card:
      return "card number";
    case PersonalKind::phone:
      break;
  }
  return "telephone number";
}

bool is_card_number(const std::string& digits) {
  if (digits.size() < 13 || digits.size() > 19) return false;
  const int two = (digits[0] - '0') * 10 + (digits[1] - '0');
  const bool visa = digits[0] == '4' && (digits.size() == 13 || digits.size() == 16 || digits.size() == 19);
  const bool mastercard = ((two >= 51 && two <= 55) || (two >= 22 && two <= 27)) && digits.size() == 16;
  const bool american_express = (two == 34 || two == 37) && digits.size() == 15;
  const bool diners = (two == 30 || two == 36 || two == 38 || two == 39) && digits.size() == 14;
  const bool others = (two == 35 || two / 10 == 6) && digits.size() >= 16;  // JCB, Discover, UnionPay, Maestro
  if (!visa && !mastercard && !american_express && !diners && !others) return false;
  int sum = 0;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    int value = digits[digits.size() - 1 - i] - '0';
    if (i % 2 == 1) value = value * 2 > 9 ? value * 2 - 9 : value * 2;
    sum += value;
  }
  return sum % 10 == 0;
}

PersonalData::PersonalData() {
  // Keys first: what is inside one is no address and no number.
  filters_.push_back({PersonalKind::key, Pattern(kKey)});
  filters_.push_back({PersonalKind::email, Pattern(kEmail)});
  filters_.push_back({PersonalKind::card, Pattern(kCard)});
  filters_.push_back({PersonalKind::phone, Pattern(kPhone)});
}

std::string PersonalData::mask(std::string text, PersonalCounts& counts) const {
  for (const Filter& filter : filters_) {
    text = masked(text, filter.kind, filter.pattern, counts[static_cast<std::size_t>(filter.kind)]);
  }
  return text;
}

}  // namespace coxswain
