// What comes out of the table of keys: help, the effective deck and its round trip, and the comparison on restart.
#include "settings/help.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include <set>

#include "base/error.h"
#include "settings/compare.h"
#include "settings/key_table.h"

namespace coxswain {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

Settings sample(const Overrides& overrides = {}) {
  const std::string deck =
      "[run]\nsteps = 10\n[model]\npreset = llama_7b\nlayers = 4\n[batch]\nglobal = 8\nlength = 64\n"
      "[data]\nsource = synthetic\nseparator = \\x20\\n\\x23 \\\\end\\n\n[optimizer]\nlearning_rate = "
      "0.1234567890123456\n"
      "[run]\nwall_limit_minutes = 1e-7\n";
  return read_settings(deck, "a.ini", overrides, 0);
}

TEST(KeyTable, HasEveryKeyOnceInAKnownSection) {
  std::set<std::string> sections, names;
  for (const Section& section : deck_sections()) sections.insert(section.name);
  for (const Key& key : deck_keys()) {
    EXPECT_TRUE(names.insert(key.full_name()).second) << key.full_name();
    EXPECT_TRUE(sections.count(key.section)) << key.full_name();
    EXPECT_FALSE(key.help.empty() || key.allowed.empty() || key.type.empty()) << key.full_name();
    EXPECT_EQ(find_key(key.full_name()), &key);
    Settings settings;  // the default can be read back
    EXPECT_NO_THROW(key.set(settings, key.default_value)) << key.full_name();
    EXPECT_EQ(key.get(settings), key.default_value) << key.full_name();
  }
  EXPECT_EQ(find_key("run.nothing"), nullptr);
}

// Keys that job scripts rely on.
TEST(KeyTable, KeepsTheContract) {
  for (const char* name : {"run.phase", "run.directory", "run.steps", "run.seed", "grid.tensor", "grid.pipeline",
                           "grid.data", "grid.tensor_shards", "grid.data_shards", "grid.virtual_stages", "model.preset",
                           "model.precision", "batch.global", "batch.micro", "batch.length", "batch.recompute",
                           "checkpoint.every", "checkpoint.keep", "data.source"}) {
    EXPECT_NE(find_key(name), nullptr) << name;
  }
}

// Changes each key's value through its own setter: none may touch another key (a copied member pointer would).
TEST(KeyTable, BindsEachKeyToAMemberOfItsOwn) {
  for (const Key& key : deck_keys()) {
    Settings settings;
    bool changed = false;
    std::vector<std::string> values{"1", "2", "0.5", "yes", "no"};
    if (key.type == "choice") {
      std::istringstream words(key.allowed);
      values.clear();
      for (std::string word; std::getline(words >> std::ws, word, ',');) values.push_back(word);
    }
    for (const std::string& value : values) {
      try {
        key.set(settings, value);
      } catch (const std::invalid_argument&) {
        continue;
      }
      changed = key.get(settings) != key.default_value;
      if (changed) break;
    }
    EXPECT_TRUE(changed) << key.full_name();
    for (const Key& other : deck_keys()) {
      if (&other != &key) {
        EXPECT_EQ(other.get(settings), other.default_value) << key.full_name() << other.full_name();
      }
    }
  }
}

TEST(HelpDeck, CoversEveryKeyOnTheTerminalAndInMarkdown) {
  const std::string help = help_deck(), markdown = help_deck_markdown();
  for (const Key& key : deck_keys()) {
    EXPECT_THAT(help, HasSubstr("\n  " + key.name + " ")) << key.full_name();
    EXPECT_THAT(markdown, HasSubstr("| `" + key.name + "` |")) << key.full_name();
  }
  std::size_t begin = 0;
  while (begin < help.size()) {
    const std::size_t end = help.find('\n', begin);
    EXPECT_LE(end - begin, 100u) << help.substr(begin, end - begin);
    begin = end + 1;
  }
}

TEST(HelpDeck, ShowsOneSection) {
  const std::string help = help_deck("grid");
  EXPECT_EQ(help.rfind("[grid]  how ranks share the work", 0), 0u);
  EXPECT_THAT(help, testing::Not(HasSubstr("[batch]")));
  EXPECT_THAT(help, HasSubstr("\n  tensor                       1  ranks: that share each layer\n"));
  try {
    help_deck("gird");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "command line: there is no section gird; did you mean grid?");
  }
}

TEST(EffectiveDeck, ReadsBackAsTheSameSettings) {
  const Settings settings = sample({{"grid.data", "2"}, {"batch.recompute", "full"}, {"data.document_mask", "yes"}});
  EXPECT_EQ(settings.data.separator, " \n# \\end\n");
  const std::string text = effective_deck(settings);
  const Settings again = read_settings(text, "deck.ini", {}, 2);
  EXPECT_THAT(text, Not(HasSubstr("[reward_model]")));  // the phase has no use for it
  for (const Key& key : deck_keys()) {
    if (!has_use_for(key.section, settings.run.phase)) continue;
    EXPECT_EQ(key.get(again), key.get(settings)) << key.full_name();
    EXPECT_THAT(text, HasSubstr("\n" + key.name + " = " + key.get(settings)));
  }
  EXPECT_EQ(effective_deck(again), text);
  EXPECT_EQ(again.model, settings.model);
  EXPECT_EQ(again.batch, settings.batch);
  EXPECT_EQ(again.optimizer, settings.optimizer);
  EXPECT_EQ(again.data, settings.data);
  EXPECT_EQ(again.run, settings.run);
  EXPECT_EQ(again.checkpoint, settings.checkpoint);
  EXPECT_EQ(again.generate, settings.generate);
}

TEST(CompareDecks, ResponsesThatPpoLearnsFromStayAsTheyWere) {
  const auto changed = [](const std::string& phase, const std::string& key) {
    return compare_decks("[run]\nphase = " + phase + "\n", "[run]\nphase = " + phase + "\n[generate]\n" + key + "\n");
  };
  EXPECT_EQ(changed("ppo", "max_new_tokens = 20").refused.size(), 1u);
  EXPECT_EQ(changed("ppo", "stop = x").refused.size(), 1u);
  EXPECT_EQ(changed("ppo", "slots = 7").changed.size(), 1u);
  EXPECT_EQ(changed("sft", "max_new_tokens = 20").changed.size(), 1u);
}

TEST(CompareDecks, SameDeckHasNoDifference) {
  const std::string text = effective_deck(sample());
  const DeckDifference difference = compare_decks(text, text);
  EXPECT_THAT(difference.changed, IsEmpty());
  EXPECT_TRUE(difference.allowed());
}

TEST(CompareDecks, PrintsWhatMayChange) {
  const DeckDifference difference = compare_decks(
      effective_deck(sample()),
      effective_deck(sample(
          {{"run.steps", "20"}, {"grid.tensor", "1"}, {"grid.pipeline", "2"}, {"optimizer.learning_rate", "0.5"}})));
  EXPECT_THAT(difference.changed, ElementsAre("[run] steps = 10 -> 20", "[grid] pipeline = 1 -> 2",
                                              "[optimizer] learning_rate = 0.1234567890123456 -> 0.5"));
  EXPECT_TRUE(difference.allowed());
}

TEST(CompareDecks, RefusesWhatWouldBeAnotherRun) {
  const DeckDifference difference = compare_decks(
      effective_deck(sample()), effective_deck(sample({{"run.seed", "2"}, {"grid.data", "2"}, {"model.layers", "8"}})));
  EXPECT_FALSE(difference.allowed());
  EXPECT_THAT(difference.changed, ElementsAre("[grid] data = 1 -> 2"));
  EXPECT_THAT(
      difference.refused,
      ElementsAre("[run] seed = 2 cannot change on restart, the checkpoint has 1; put 1 back, or start a new run "
                  "in another [run] directory",
                  "[model] layers = 8 cannot change on restart, the checkpoint has 4; put 4 back, or start a new "
                  "run in another [run] directory",
                  "[grid] data_shards = 2 cannot change on restart, the checkpoint has 1; give data_shards = 1 in "
                  "the deck: any grid whose data divides it goes on with the same bits"));
}

TEST(CompareDecks, KeysOfAnotherVersionHaveTheirDefault) {
  const DeckDifference difference = compare_decks("[run]\nseed = 1\nforgotten = 3\n[model]\nlayers = 2\n",
                                                  "[model]\nlayers = 2\n[batch]\nglobal = 4\n");
  EXPECT_THAT(difference.changed, ElementsAre("[run] forgotten = 3 -> no longer a key"));
  ASSERT_EQ(difference.refused.size(), 1u);
  EXPECT_THAT(difference.refused[0], HasSubstr("[batch] global = 4 cannot change on restart, the checkpoint has 8"));
}

}  // namespace
}  // namespace coxswain
