// Every deck key, declared once: the parser, the help, the README's tables and the effective deck come from here.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "settings/settings.h"

namespace coxswain {

// What a restart may do with the key's value.
enum class OnRestart {
  free,   // may change: length and place of the run, grid, pace of saving, learning rate
  fixed,  // would make another run: model, data order, seed, shard counts
};

struct Key {
  std::string section, name;
  std::string type;           // "integer", "number", "choice", "yes/no", "text"
  std::string unit;           // "steps", "tokens"; may be empty
  std::string allowed;        // "1 or more", "fp32, bf16"
  std::string default_value;  // as text
  std::string help;
  OnRestart on_restart = OnRestart::fixed;
  std::function<void(Settings&, const std::string&)> set;  // throws std::invalid_argument(what is allowed)
  std::function<std::string(const Settings&)> get;         // set(get()) gives the same value

  std::string full_name() const { return section + "." + name; }
};

struct Section {
  std::string name, help;
};

const std::vector<Section>& deck_sections();
const std::vector<Key>& deck_keys();                // section by section
const Key* find_key(const std::string& full_name);  // or null

}  // namespace coxswain
