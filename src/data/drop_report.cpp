#include "data/drop_report.h"

#include <fmt/format.h>

namespace coxswain {

DropReport::Entry& DropReport::entry(const std::string& reason) {
  for (Entry& known : entries_) {
    if (known.reason == reason) return known;
  }
  entries_.push_back({.reason = reason, .count = 0, .examples = {}});
  return entries_.back();
}

void DropReport::add(const std::string& reason, const std::string& example) {
  Entry& one = entry(reason);
  ++one.count;
  if (one.examples.size() < kExamples) one.examples.push_back(example);
}

void DropReport::add(const Entry& other) {
  Entry& one = entry(other.reason);
  one.count += other.count;
  for (const std::string& example : other.examples) {
    if (one.examples.size() < kExamples) one.examples.push_back(example);
  }
}

void DropReport::add(const DropReport& other) {
  for (const Entry& theirs : other.entries_) add(theirs);
}

std::int64_t DropReport::total() const {
  std::int64_t sum = 0;
  for (const Entry& one : entries_) sum += one.count;
  return sum;
}

std::string DropReport::str() const {
  std::string text;
  for (const Entry& one : entries_) {
    const bool more = one.count > static_cast<std::int64_t>(one.examples.size());
    text += fmt::format("{}{:>8}  {}: {}{}", text.empty() ? "" : "\n", one.count, one.reason,
                        fmt::join(one.examples, ", "), more ? ", ..." : "");
  }
  return text;
}

}  // namespace coxswain
