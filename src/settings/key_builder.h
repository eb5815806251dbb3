// How a key is bound to a member of its module's struct: text -> value with range or choices, and back.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/text.h"
#include "settings/key_table.h"

namespace coxswain {

// Whole numbers as 250000, 250_000 or 2.5e5; throws std::invalid_argument("is no whole number").
std::int64_t parse_integer(const std::string& text);
std::uint64_t parse_unsigned(const std::string& text);
double parse_number(const std::string& text);
bool parse_flag(const std::string& text);

// A range with its own words: "from 1 to 64", "1 or more", "less than 1".
struct Range {
  double least = 0;
  double most = 1e300;
  bool open_least = false;  // least itself is not allowed
  bool open_most = false;

  bool holds(double value) const;
  std::string str() const;
};

inline constexpr Range kPositive{.least = 0, .open_least = true};
inline constexpr Range kNotNegative{.least = 0};
inline constexpr Range kFromOne{.least = 1};

// Adds keys of one section, all of them members of one struct.
template <class Group>
class SectionBuilder {
 public:
  SectionBuilder(std::vector<Key>& keys, std::string section, Group Settings::*group)
      : keys_(keys), section_(std::move(section)), group_(group) {}

  struct Text {
    std::string unit;
    std::string help;
    OnRestart on_restart = OnRestart::fixed;
  };

  template <class Value>
  SectionBuilder& number(const std::string& name, Value Group::*member, const Range& range, const Text& text) {
    constexpr bool whole = std::is_integral_v<Value>;
    return add(
        name, whole ? "integer" : "number", range.str(), text, member,
        [range](const std::string& value) {
          const auto parsed = parse_as<Value>(value);
          if (!range.holds(static_cast<double>(parsed))) throw std::invalid_argument("is out of range");
          return parsed;
        },
        [](const Value& value) { return fmt::format("{}", value); });
  }

  template <class Value>
  SectionBuilder& choice(const std::string& name, Value Group::*member,
                         const std::vector<std::pair<std::string, Value>>& choices, const Text& text) {
    std::vector<std::string> names;
    for (const auto& [word, value] : choices) names.push_back(word);
    return add(
        name, "choice", fmt::format("{}", fmt::join(names, ", ")), text, member,
        [choices, names](const std::string& word) {
          for (const auto& [known, value] : choices) {
            if (known == word) return value;
          }
          const std::string nearest = nearest_word(word, names);
          throw std::invalid_argument(nearest.empty() ? "is not known"
                                                      : fmt::format("is not known (did you mean {}?)", nearest));
        },
        [choices](const Value& value) {
          for (const auto& [known, candidate] : choices) {
            if (candidate == value) return known;
          }
          return std::string("?");
        });
  }

  SectionBuilder& flag(const std::string& name, bool Group::*member, const Text& text) {
    return add(name, "yes/no", "yes, no", text, member, parse_flag,
               [](bool value) { return std::string(value ? "yes" : "no"); });
  }

  SectionBuilder& text(const std::string& name, std::string Group::*member, const std::string& allowed,
                       const Text& text) {
    return add(name, "text", allowed, text, member, unescape, escape);
  }

 private:
  template <class Value>
  static Value parse_as(const std::string& text) {
    if constexpr (std::is_floating_point_v<Value>) {
      return parse_number(text);
    } else if constexpr (std::is_same_v<Value, std::uint64_t>) {
      return parse_unsigned(text);
    } else {
      const std::int64_t wide = parse_integer(text);
      if (!std::in_range<Value>(wide)) throw std::invalid_argument("is too large");
      return static_cast<Value>(wide);
    }
  }

  template <class Value, class Parse, class Print>
  SectionBuilder& add(const std::string& name, const char* type, const std::string& allowed, const Text& text,
                      Value Group::*member, Parse parse, Print print) {
    Key key{.section = section_,
            .name = name,
            .type = type,
            .unit = text.unit,
            .allowed = allowed,
            .default_value = "",
            .help = text.help,
            .on_restart = text.on_restart,
            .set = {},
            .get = {}};
    key.set = [group = group_, member, parse](Settings& settings, const std::string& value) {
      (settings.*group).*member = static_cast<Value>(parse(value));
    };
    key.get = [group = group_, member, print](const Settings& settings) -> std::string {
      return print((settings.*group).*member);
    };
    key.default_value = key.get(Settings{});
    keys_.push_back(std::move(key));
    return *this;
  }

  std::vector<Key>& keys_;
  std::string section_;
  Group Settings::*group_;
};

}  // namespace coxswain
