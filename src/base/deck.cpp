#include "base/deck.h"

#include <fmt/format.h>

#include <boost/program_options.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "base/error.h"
#include "base/text.h"

namespace coxswain {

namespace {

constexpr const char* kCommandLine = "command line";

// What the lines of a deck are, found without Boost: which line holds which key, and what is wrong with the others.
struct LineScan {
  std::map<std::string, int> line_of;  // "section.key" -> line
  std::vector<std::string> mistakes;
};

LineScan scan_lines(const std::string& text, const std::string& path) {
  LineScan scan;
  std::istringstream lines(text);
  std::string line, section;
  for (int number = 1; std::getline(lines, line); ++number) {
    const auto mistake = [&](const std::string& what) {
      scan.mistakes.push_back(fmt::format("{}:{}: {}", path, number, what));
    };
    line = trim(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    if (line.front() == '[') {
      section = line.back() == ']' ? line.substr(1, line.size() - 2) : "";
      if (section.empty() || section != trim(section))
        mistake(fmt::format("'{}' is no section header; use [section]", line));
      continue;
    }
    const auto equals = line.find('=');
    const std::string key = trim(line.substr(0, equals));
    if (equals == std::string::npos || key.empty()) {
      mistake(fmt::format("'{}' is neither [section] nor key = value", line));
    } else if (section.empty()) {
      mistake(fmt::format("{} stands before the first [section]", key));
    } else if (const auto [at, fresh] = scan.line_of.emplace(section + "." + key, number); !fresh) {
      mistake(fmt::format("[{}] {} is given twice, first in line {}; leave one", section, key, at->second));
    }
  }
  return scan;
}

// Windows line ends and byte-order marks are no mistake of the user's.
std::string plain_text(std::string text) {
  if (text.rfind("\xef\xbb\xbf", 0) == 0) text.erase(0, 3);
  std::erase(text, '\r');
  return text;
}

}  // namespace

Deck::Deck(const std::string& raw_text, std::string path) : path_(std::move(path)) {
  namespace po = boost::program_options;
  const std::string text = plain_text(raw_text);
  const LineScan scan = scan_lines(text, path_);
  if (!scan.mistakes.empty()) throw Error(ExitCode::usage, fmt::format("{}", fmt::join(scan.mistakes, "\n")));
  std::istringstream stream(text);
  try {
    const po::options_description no_options;  // the settings' table says which keys there are, with better messages
    for (const po::option& option : po::parse_config_file(stream, no_options, true).options) {
      const auto dot = option.string_key.find('.');
      const auto line = scan.line_of.find(option.string_key);
      if (dot == std::string::npos || line == scan.line_of.end()) {
        throw Error(ExitCode::usage, fmt::format("{}: {} cannot be placed in a section", path_, option.string_key));
      }
      entries_.push_back({.section = option.string_key.substr(0, dot),
                          .key = option.string_key.substr(dot + 1),
                          .value = option.value.empty() ? "" : option.value.front(),
                          .place = fmt::format("{}:{}", path_, line->second)});
    }
  } catch (const po::error& error) {
    throw Error(ExitCode::usage, fmt::format("{}: {}", path_, error.what()));
  }
}

void Deck::override_value(const std::string& name, const std::string& value) {
  const auto dot = name.find('.');
  if (dot == std::string::npos || dot == 0 || dot + 1 == name.size()) {
    throw Error(ExitCode::usage,
                fmt::format("{}: --{} is not understood; use --section.key=value", kCommandLine, name));
  }
  const DeckEntry entry{name.substr(0, dot), name.substr(dot + 1), trim(value), kCommandLine};
  for (DeckEntry& old : entries_) {
    if (old.name() != name) continue;
    if (old.place == kCommandLine) {
      throw Error(ExitCode::usage, fmt::format("{}: --{} is given twice; leave one", kCommandLine, name));
    }
    old = entry;
    return;
  }
  entries_.push_back(entry);
}

const DeckEntry* Deck::find(std::string_view name) const {
  for (const DeckEntry& entry : entries_) {
    if (entry.name() == name) return &entry;
  }
  return nullptr;
}

std::string Deck::located(const std::string& message) const {
  std::string place = path_;
  for (auto open = message.find('['); open != std::string::npos; open = message.find('[', open + 1)) {
    const auto close = message.find("] ", open);
    if (close == std::string::npos) break;
    const auto end = message.find_first_of(" ;,:", close + 2);
    const std::string key = message.substr(close + 2, end == std::string::npos ? end : end - close - 2);
    if (const DeckEntry* entry = find(message.substr(open + 1, close - open - 1) + "." + key)) {
      place = entry->place;
      break;
    }
  }
  return place + ": " + message;
}

std::string read_deck_text(const std::string& path) {
  std::error_code ignored;
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path, ignored)) {
    throw Error(ExitCode::usage, fmt::format("{}: this deck cannot be read; give the path of an INI file, such as "
                                             "inputs/tiny/pretrain.ini",
                                             path));
  }
  std::ostringstream text;
  text << file.rdbuf();
  if (trim(text.str()).empty()) throw Error(ExitCode::usage, fmt::format("{}: this deck is empty", path));
  return text.str();
}

}  // namespace coxswain
