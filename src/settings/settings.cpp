#include "settings/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <stdexcept>

#include "base/deck.h"
#include "base/error.h"
#include "base/text.h"
#include "model/presets.h"
#include "settings/cross_checks.h"
#include "settings/key_table.h"

namespace coxswain {

namespace {

using Mistakes = std::vector<std::string>;

bool compares_files_only(const Settings& settings) {
  const EvaluateConfig& evaluate = settings.evaluate;
  return !evaluate.scores.empty() && evaluate.prompts.empty() && settings.data.validation.empty();
}

void stop_at(const Mistakes& mistakes) {
  if (!mistakes.empty()) throw Error(ExitCode::usage, fmt::format("{}", fmt::join(mistakes, "\n")));
}

// What the user probably meant by a key that is not in the table.
std::string suggestion(const DeckEntry& entry) {
  std::vector<std::string> sections, in_section, elsewhere, all;
  for (const Section& section : deck_sections()) sections.push_back(section.name);
  for (const Key& key : deck_keys()) {
    if (key.section == entry.section) in_section.push_back(key.name);
    if (key.name == entry.key) elsewhere.push_back(fmt::format("[{}] {}", key.section, key.name));
    all.push_back(key.full_name());
  }
  if (!elsewhere.empty()) return fmt::format("did you mean {}?", fmt::join(elsewhere, " or "));
  if (const std::string near = nearest_word(entry.key, in_section); !near.empty()) {
    return fmt::format("did you mean {}?", near);
  }
  if (const std::string near = nearest_word(entry.name(), all); !near.empty()) {
    const auto dot = near.find('.');
    return fmt::format("did you mean [{}] {}?", near.substr(0, dot), near.substr(dot + 1));
  }
  if (in_section.empty()) return fmt::format("use one of the sections {}", fmt::join(sections, ", "));
  return fmt::format("--help-deck {} lists the keys of this section", entry.section);
}

void apply(const DeckEntry& entry, Settings& settings, Mistakes& mistakes) {
  const std::string said = fmt::format("{}: [{}] {} = {}", entry.place, entry.section, entry.key, entry.value);
  const Key* key = find_key(entry.name());
  if (key == nullptr) {
    mistakes.push_back(fmt::format("{} is no known key; {}", said, suggestion(entry)));
    return;
  }
  try {
    key->set(settings, entry.value);
  } catch (const std::invalid_argument& problem) {
    const std::string unit = key->unit.empty() ? "" : fmt::format(" ({})", key->unit);
    mistakes.push_back(fmt::format("{} {}; use {}{}", said, problem.what(), key->allowed, unit));
  }
}

Settings apply_all(const Deck& deck) {
  Settings settings;
  Mistakes mistakes;
  // The preset comes first: every other key of its section overrides it, wherever it stands.
  for (const auto& [key, model] :
       {std::pair{"model.preset", &Settings::model}, std::pair{"reward_model.preset", &Settings::reward_model}}) {
    const DeckEntry* preset = deck.find(key);
    if (preset == nullptr) continue;
    Mistakes reported_below;
    apply(*preset, settings, reported_below);
    if (reported_below.empty()) settings.*model = model_preset((settings.*model).preset);
  }
  bool reward_grid = false;
  for (const DeckEntry& entry : deck.entries()) {
    apply(entry, settings, mistakes);
    reward_grid |= entry.section == "reward_grid";
  }
  stop_at(mistakes);
  if (!reward_grid) settings.reward_grid = settings.grid;
  settings.reward_model.head = HeadKind::scalar;
  if (phase_row(settings.run.phase).scores) settings.model.head = HeadKind::scalar;
  return settings;
}

// Counts that overflow are no grid; it is checked in doubles, where they do not.
void check_size(const GridConfig& grid) {
  constexpr double kMostRanks = 1 << 24;
  const double ranks = static_cast<double>(grid.tensor) * grid.pipeline * std::max(1, grid.data);
  if (ranks <= kMostRanks) return;
  throw Error(ExitCode::usage, fmt::format("[grid] tensor = {} x pipeline = {} x data = {} is more than {} ranks",
                                           grid.tensor, grid.pipeline, grid.data, kMostRanks));
}

// A module's check names the section that the module is usually configured by.
void check_renamed(const std::string& usual, const std::string& name, const std::function<void()>& check) {
  try {
    check();
  } catch (const Error& error) {
    std::string text = error.what();
    for (std::size_t at = text.find(usual); at != std::string::npos; at = text.find(usual, at + name.size()))
      text.replace(at, usual.size(), name);
    throw Error(error.code(), text);
  }
}

// Each module's own check; the message gets the place of the key that it names.
void check_sections(Settings& settings, const Deck& deck, int ranks) {
  Mistakes mistakes;
  const auto check = [&](auto&& section_check) {
    try {
      section_check();
    } catch (const Error& error) {
      mistakes.push_back(deck.located(error.what()));
    } catch (const std::invalid_argument& error) {
      mistakes.push_back(deck.located(error.what()));
    }
  };
  check([&] { settings.run.check(); });
  const PhaseRow& phase = phase_row(settings.run.phase);
  if (has_model(settings)) check([&] { settings.model.check(); });
  check([&] {
    check_size(settings.grid);
    settings.grid.check(ranks);
  });
  check([&] {
    if (!phase.reward_model) return;
    check_size(settings.reward_grid);
    check_renamed("[grid]", "[reward_grid]", [&] { settings.reward_grid.check(ranks); });
  });
  check([&] {
    if (settings.reward_model.layers > 0)
      check_renamed("[model]", "[reward_model]", [&] { settings.reward_model.check(); });
  });
  check([&] { settings.batch.check(); });
  check([&] { settings.optimizer.check(); });
  check([&] { settings.data.check(); });
  check([&] { settings.chat.check(); });
  check([&] { settings.prepare.check(); });
  check([&] { settings.checkpoint.check(); });
  check([&] { settings.generate.check(); });
  check([&] { settings.sft.check(); });
  if (settings.run.phase == "ppo") check([&] { settings.ppo.check(); });
  check([&] { settings.device.check(); });
  check([&] { settings.communication.check(); });
  stop_at(mistakes);
}

}  // namespace

bool has_model(const Settings& settings) {
  return phase_row(settings.run.phase).model && !(settings.run.phase == "evaluate" && compares_files_only(settings));
}

ModelConfig model_of_deck(const std::string& effective_deck) {
  const Deck deck(effective_deck, "deck of a checkpoint");
  Settings settings;
  for (const Key& key : deck_keys()) {
    const DeckEntry* entry = key.section == "model" ? deck.find(key.full_name()) : nullptr;
    if (entry != nullptr) key.set(settings, entry->value);
  }
  return settings.model;
}

Settings read_settings(const std::string& text, const std::string& path, const Overrides& overrides, int ranks) {
  Deck deck(text, path);
  for (const auto& [name, value] : overrides) deck.override_value(name, value);
  Settings settings = apply_all(deck);
  check_sections(settings, deck, ranks);
  const bool shared = settings.device.ranks_per_gpu > 1;  // which NCCL does not want
  if (shared && settings.communication.transport == Transport::automatic)
    settings.communication.transport = Transport::staged;
  Mistakes mistakes = cross_checks(settings, deck);
  for (std::string& mistake : mistakes) mistake = deck.located(mistake);
  stop_at(mistakes);
  return settings;
}

Settings read_settings(const CommandLine& command, int ranks) {
  return read_settings(read_deck_text(command.deck), command.deck, command.overrides, ranks);
}

}  // namespace coxswain
