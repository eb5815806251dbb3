#include "settings/compare.h"

#include <fmt/format.h>

#include <stdexcept>

#include "base/deck.h"
#include "settings/key_table.h"

namespace coxswain {

namespace {

// The value in the form that the table writes; a text that this version cannot read stays as it is, and so differs.
std::string value_of(const Deck& deck, const Key& key) {
  const DeckEntry* entry = deck.find(key.full_name());
  if (entry == nullptr) return key.default_value;
  try {
    Settings settings;
    key.set(settings, entry->value);
    return key.get(settings);
  } catch (const std::invalid_argument&) {
    return entry->value;
  }
}

std::string advice(const Key& key, const std::string& old_value) {
  if (key.full_name() == "grid.tensor_shards" || key.full_name() == "grid.data_shards") {
    return fmt::format("give {} = {} in the deck: any grid whose {} divides it goes on with the same bits", key.name,
                       old_value, key.name == "data_shards" ? "data" : "tensor");
  }
  return fmt::format("put {} back, or start a new run in another [run] directory",
                     old_value.empty() ? "the empty value" : old_value);
}

// What PPO's responses are is what it learns from; elsewhere [generate] only looks at a model.
bool is_free(const Key& key, const Deck& deck) {
  const DeckEntry* phase = deck.find("run.phase");
  const bool shapes = key.full_name() == "generate.max_new_tokens" || key.full_name() == "generate.stop";
  return key.on_restart == OnRestart::free && !(shapes && phase != nullptr && phase->value == "ppo");
}

}  // namespace

DeckDifference compare_decks(const std::string& old_effective, const std::string& new_effective) {
  const Deck old_deck(old_effective, "deck of the checkpoint"), new_deck(new_effective, "deck of this run");
  DeckDifference difference;
  for (const Key& key : deck_keys()) {
    const std::string before = value_of(old_deck, key), now = value_of(new_deck, key);
    if (before == now) continue;
    if (is_free(key, old_deck)) {
      difference.changed.push_back(fmt::format("[{}] {} = {} -> {}", key.section, key.name, before, now));
    } else {
      difference.refused.push_back(fmt::format("[{}] {} = {} cannot change on restart, the checkpoint has {}; {}",
                                               key.section, key.name, now, before, advice(key, before)));
    }
  }
  for (const DeckEntry& entry : old_deck.entries()) {
    if (find_key(entry.name()) == nullptr) {
      difference.changed.push_back(
          fmt::format("[{}] {} = {} -> no longer a key", entry.section, entry.key, entry.value));
    }
  }
  return difference;
}

}  // namespace coxswain
