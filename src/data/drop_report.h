// What a reader left out, by reason: how many records, and where the first of them stand.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace coxswain {

class DropReport {
 public:
  static constexpr std::size_t kExamples = 5;
  struct Entry {
    std::string reason;  // without values that differ from record to record, so that like meets like
    std::int64_t count = 0;
    std::vector<std::string> examples;  // of the first few: "file:line", or "file:line: more"
  };

  void add(const std::string& reason, const std::string& example);
  void add(const Entry& other);  // of the same reason
  void add(const DropReport& other);

  std::int64_t total() const;
  const std::vector<Entry>& entries() const { return entries_; }  // in the order in which the reasons came up
  std::string str()
      const;  // a line a reason: "  12  empty response: a.jsonl:3, a.jsonl:8, ..."; no line break at the end

 private:
  Entry& entry(const std::string& reason);
  std::vector<Entry> entries_;
};

}  // namespace coxswain
