// A simple filter for personal data: e-mail addresses, telephone numbers, payment cards, keys and passwords.
//
// Simple: regular expressions and check digits. It misses numbers without any separator or country code, and names and
// addresses of any kind; README.md has what counts.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "data/pattern.h"

namespace coxswain {

enum class PersonalKind { key, email, card, phone };
inline constexpr std::array<PersonalKind, 4> kPersonalKinds = {PersonalKind::key, PersonalKind::email,
                                                               PersonalKind::card, PersonalKind::phone};

const char* personal_name(PersonalKind kind);  // "e-mail address"

using PersonalCounts = std::array<std::int64_t, kPersonalKinds.size()>;  // by kind

class PersonalData {
 public:
  PersonalData();

  // The text with each find replaced by [KEY], [E-MAIL], [CARD] or [PHONE]; adds to `counts`.
  std::string mask(std::string text, PersonalCounts& counts) const;

 private:
  struct Filter {
    PersonalKind kind;
    Pattern pattern;
  };
  std::vector<Filter> filters_;
};

// Whether a string of digits is one of a card: an issuer's first digits and length, and Luhn's check digit.
bool is_card_number(const std::string& digits);

}  // namespace coxswain
