// A deck: the INI file that describes a run, and the values that the command line puts in its place.
//
//   [grid]
//   tensor = 2   # ranks that share a layer
// Boost.Program_options splits the text into keys and values. It knows no line numbers, so the text is read once more
// for those: every message names file, line, section and key.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace coxswain {

struct DeckEntry {
  std::string section, key, value;
  std::string place;  // "inputs/a.ini:12", "command line"
  std::string name() const { return section + "." + key; }
};

class Deck {
 public:
  Deck() = default;
  // `path` is only for messages. Throws Error(usage) with a line for every line that is no `key = value`, every key
  // outside a section and every key given twice.
  Deck(const std::string& text, std::string path);

  // Puts "section.key" in place of the deck's value. Throws Error(usage) if this was done before.
  void override_value(const std::string& name, const std::string& value);

  const std::string& path() const { return path_; }
  const std::vector<DeckEntry>& entries() const { return entries_; }
  const DeckEntry* find(std::string_view name) const;  // "section.key", or null
  bool has(std::string_view name) const { return find(name) != nullptr; }

  // Puts a place in front of a message that names keys as "[section] key": that of the first one that stands here, or
  // the deck's path if all of them are defaults.
  std::string located(const std::string& message) const;

 private:
  std::string path_ = "deck";
  std::vector<DeckEntry> entries_;
};

// The whole file. Throws Error(usage) if it cannot be read.
std::string read_deck_text(const std::string& path);

}  // namespace coxswain
