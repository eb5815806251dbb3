#include "settings/help.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "settings/key_table.h"

namespace coxswain {

namespace {

constexpr std::size_t kHelpWidth = 62;  // columns of the last column of the terminal's table
constexpr std::size_t kLongestName = 20;

std::vector<Section> chosen_sections(const std::string& name) {
  std::vector<Section> chosen;
  std::vector<std::string> names;
  for (const Section& section : deck_sections()) {
    names.push_back(section.name);
    if (name.empty() || section.name == name) chosen.push_back(section);
  }
  if (!chosen.empty()) return chosen;
  const std::string nearest = nearest_word(name, names);
  throw Error(ExitCode::usage, fmt::format("command line: there is no section {}; {}", name,
                                           nearest.empty() ? fmt::format("use {}", fmt::join(names, ", "))
                                                           : fmt::format("did you mean {}?", nearest)));
}

std::vector<const Key*> keys_of(const Section& section) {
  std::vector<const Key*> keys;
  for (const Key& key : deck_keys()) {
    if (key.section == section.name) keys.push_back(&key);
  }
  return keys;
}

std::string meaning(const Key& key) { return key.unit.empty() ? key.help : fmt::format("{}: {}", key.unit, key.help); }

std::string in_cell(std::string text) {
  for (auto at = text.find('|'); at != std::string::npos; at = text.find('|', at + 2)) text.insert(at, "\\");
  return text;
}

}  // namespace

std::string help_deck(const std::string& name) {
  std::string out;
  for (const Section& section : chosen_sections(name)) {
    out += fmt::format("{}[{}]  {}\n", out.empty() ? "" : "\n", section.name, section.help);
    for (const Key* key : keys_of(section)) {
      std::vector<std::string> lines = wrap(meaning(*key), kHelpWidth);
      for (const std::string& line : wrap(fmt::format("{}: {}", key->type, key->allowed), kHelpWidth)) {
        lines.push_back(line);
      }
      out += fmt::format("  {:<{}} {:>9}  {}\n", key->name, kLongestName,
                         key->default_value.empty() ? "-" : key->default_value, lines.front());
      for (std::size_t i = 1; i < lines.size(); ++i) {
        out += fmt::format("  {:<{}} {:>9}  {}\n", "", kLongestName, "", lines[i]);
      }
    }
  }
  return out;
}

std::string help_deck_markdown(const std::string& name) {
  std::string out;
  for (const Section& section : chosen_sections(name)) {
    out += fmt::format("{}`[{}]` {}\n\n", out.empty() ? "" : "\n", section.name, section.help);
    out += "| key | default | allowed | unit | meaning |\n|---|---|---|---|---|\n";
    for (const Key* key : keys_of(section)) {
      out += fmt::format("| `{}` | {} | {} | {} | {} |\n", key->name, in_cell(key->default_value),
                         in_cell(key->allowed), key->unit, in_cell(key->help));
    }
  }
  return out;
}

std::string effective_deck(const Settings& settings) {
  std::string out = "# Every key with the value that this run uses.\n";
  for (const Section& section : deck_sections()) {
    if (!has_use_for(section.name, settings.run.phase)) continue;
    out += fmt::format("\n[{}]  # {}\n", section.name, section.help);
    for (const Key* key : keys_of(section)) {
      out += fmt::format("{:<45}  # {}\n", fmt::format("{} = {}", key->name, key->get(settings)), meaning(*key));
    }
  }
  return out;
}

}  // namespace coxswain
