#include "settings/key_builder.h"

#include <charconv>
#include <cmath>

namespace coxswain {

namespace {

std::string without_underscores(std::string text) {
  std::erase(text, '_');
  return text;
}

template <class Value>
bool parse_whole(const std::string& text, Value& value) {
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  return !text.empty() && status == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::int64_t parse_integer(const std::string& raw) {
  const std::string text = without_underscores(raw);
  // 2.6e11 is how recipes print token counts. Doubles hold whole numbers exactly up to 2^53; more is no count of
  // anything, and would overflow where counts are multiplied.
  double real = 0;
  if (!parse_whole(text, real) || real != std::floor(real)) throw std::invalid_argument("is no whole number");
  if (std::abs(real) >= 0x1p53) throw std::invalid_argument("is too large");
  return static_cast<std::int64_t>(real);
}

std::uint64_t parse_unsigned(const std::string& raw) {
  const std::string text = without_underscores(raw);
  std::uint64_t value = 0;
  if (!parse_whole(text, value)) throw std::invalid_argument("is no whole number of 64 bits");
  return value;
}

double parse_number(const std::string& text) {
  double value = 0;
  if (!parse_whole(text, value) || !std::isfinite(value)) throw std::invalid_argument("is no number");
  return value;
}

bool parse_flag(const std::string& text) {
  for (const char* yes : {"yes", "true", "on", "1"}) {
    if (text == yes) return true;
  }
  for (const char* no : {"no", "false", "off", "0"}) {
    if (text == no) return false;
  }
  throw std::invalid_argument("is neither yes nor no");
}

bool Range::holds(double value) const {
  return (open_least ? value > least : value >= least) && (open_most ? value < most : value <= most);
}

std::string Range::str() const {
  const std::string low = open_least ? fmt::format("more than {}", least) : fmt::format("{} or more", least);
  if (most >= 1e300) return low;
  if (!open_least && !open_most) return fmt::format("{} to {}", least, most);
  return fmt::format("{}, {} {}", low, open_most ? "less than" : "at most", most);
}

}  // namespace coxswain
