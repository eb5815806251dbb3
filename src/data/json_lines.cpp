#include "data/json_lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "data/input_files.h"

namespace coxswain {

namespace {

constexpr std::string_view kBlank = " \t\r\n";
constexpr std::size_t kReasonLength = 160;
constexpr std::size_t kSaid = 5;  // bad lines that are said one by one

std::vector<JsonText> split_lines(std::string_view text) {
  std::vector<JsonText> records;
  std::int64_t line = 0;
  for (std::size_t place = 0; place < text.size();) {
    const std::size_t end = std::min(text.find('\n', place), text.size());
    const std::string_view one = text.substr(place, end - place);
    ++line;
    if (one.find_first_not_of(kBlank) != std::string_view::npos) records.push_back({one, line});
    place = end + 1;
  }
  return records;
}

// Walks through an array and cuts it at its own commas: those outside strings and inner brackets.
class ArraySplitter {
 public:
  explicit ArraySplitter(std::string_view text) : text_(text) {}

  std::vector<JsonText> split() {
    place_ = text_.find('[') + 1;
    line_ += std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(place_), '\n');
    start_ = place_;
    start_line_ = line_;
    bool ended = false;
    for (; place_ < text_.size() && !ended; ++place_) ended = step(text_[place_]);
    start_ = ended ? place_ : start_;
    cut(text_.size());                                                    // what follows the end is a bad record
    if (!ended) records_.push_back({text_.substr(text_.size()), line_});  // and so is the end that is missing
    return std::move(records_);
  }

 private:
  bool blank(std::size_t begin, std::size_t end) const {
    return text_.substr(begin, end - begin).find_first_not_of(kBlank) == std::string_view::npos;
  }

  // Ends the record that began at start_; white space alone is none.
  void cut(std::size_t end) {
    if (!blank(start_, end)) {
      const std::size_t first = text_.find_first_not_of(kBlank, start_);
      const std::string_view between = text_.substr(start_, first - start_);
      records_.push_back(
          {text_.substr(first, end - first), start_line_ + std::count(between.begin(), between.end(), '\n')});
    }
    start_ = end + 1;
    start_line_ = line_;
  }

  bool step(char c) {
    if (c == '\n') ++line_;
    if (in_string_) {
      if (escaped_) {
        escaped_ = false;
      } else {
        escaped_ = c == '\\';
        in_string_ = c != '"';
      }
      return false;
    }
    in_string_ = c == '"';
    if (c == '{' || c == '[') ++depth_;
    if (depth_ == 0 && (c == ',' || c == ']')) cut(place_);
    if (c == ']' && depth_ == 0) return true;
    if (c == '}' || c == ']') depth_ = std::max(0, depth_ - 1);
    return false;
  }

  std::string_view text_;
  std::vector<JsonText> records_;
  std::size_t place_ = 0, start_ = 0;
  std::int64_t line_ = 1, start_line_ = 1;
  int depth_ = 0;
  bool in_string_ = false, escaped_ = false;
};

// A parser's message quotes the text, which may hold anything.
std::string printable(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) c = '?';
  }
  if (text.size() > kReasonLength) text = text.substr(0, kReasonLength - 3) + "...";
  return text;
}

// "[json.exception.parse_error.101] parse error at line 1, column 7: ..." -> "no JSON: column 7: ..."
std::string reason_of(const nlohmann::json::exception& error, std::string_view text) {
  std::string said = error.what();
  if (const auto end = said.find("] "); said.starts_with("[json.") && end != std::string::npos) said.erase(0, end + 2);
  if (const auto column = said.find("column "); said.starts_with("parse error at line") && column < said.size()) {
    said.erase(0, column);
  }
  const char* hint = "";
  if (said.find("invalid literal") != std::string::npos) {
    for (const char* word : {"NaN", "Infinity", "nan", "inf"}) {
      if (text.find(word) != std::string_view::npos) hint = " (NaN and Infinity are no numbers of JSON)";
    }
  }
  return fmt::format("no JSON: {}{}", printable(said), hint);
}

struct BadLines {
  std::int64_t count = 0;
  std::vector<std::string> first;

  void add(const std::string& what) {
    ++count;
    if (first.size() < kSaid) first.push_back(what);
  }
};

void say(const BadLines& bad, const RecordFiles& files, std::int64_t records, Log& log) {
  if (bad.count == 0) return;
  const auto more = bad.count - static_cast<std::int64_t>(bad.first.size());
  if (files.on_bad_line == BadLine::stop) {
    throw Error(ExitCode::data,
                fmt::format("{}{}\n{} of {} records in {} are bad; correct them, or leave them out with [data] "
                            "on_bad_line = skip",
                            fmt::join(bad.first, "\n"), more > 0 ? fmt::format("\nand {} more", more) : "", bad.count,
                            records, files.key));
  }
  for (const std::string& line : bad.first) log.info("left out: {}", line);
  log.info("{} of {} records in {} are bad and left out", bad.count, records, files.key);
}

}  // namespace

std::vector<JsonText> split_records(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text[first] == '[' ? ArraySplitter(text).split() : split_lines(text);
}

nlohmann::json parse_record_text(std::string_view text) {
  if (text.empty()) throw BadRecord("the array does not end: was the file cut?");
  nlohmann::json record;
  try {
    record = nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    throw BadRecord(reason_of(error, text));
  }
  if (!record.is_object()) throw BadRecord(fmt::format("a JSON {}, an object is wanted", record.type_name()));
  return record;
}

std::int64_t read_records(const RecordFiles& files, Communicator& world, Log& log, DropReport& dropped,
                          const TakeRecord& take) {
  std::int64_t records = 0;
  BadLines bad;
  for (const std::string& pattern : parse_paths(files.paths)) {
    for (const std::string& path : matching_files(pattern, files.key)) {
      const std::string text = read_on_every_rank(path, files.key, world);
      for (const JsonText& record : split_records(text)) {
        const std::string place = fmt::format("{}:{}", path, record.line);
        ++records;
        try {
          take(parse_record_text(record.text), place);
        } catch (const BadRecord& why) {
          bad.add(fmt::format("{}: {}", place, why.what()));
          dropped.add("bad line", place);
        } catch (const UnusableRecord& why) {
          dropped.add(why.what(), place);
        }
      }
    }
  }
  say(bad, files, records, log);
  return records;
}

}  // namespace coxswain
