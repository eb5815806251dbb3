#include "settings/command_line.h"

#include <fmt/format.h>

#include <boost/program_options.hpp>

#include "base/error.h"
#include "settings/key_table.h"

namespace coxswain {

namespace {

namespace po = boost::program_options;

// Every deck key is an option, so that both --grid.tensor=2 and --grid.tensor 2 are understood.
po::options_description described_options() {
  po::options_description options;
  options.add_options()("deck", po::value<std::vector<std::string>>())("plot", po::value<std::string>());
  for (const char* name : {"check", "version", "help,h", "help-deck", "markdown"}) options.add_options()(name, "");
  for (const Key& key : deck_keys()) options.add_options()(key.full_name().c_str(), po::value<std::string>());
  return options;
}

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ExitCode::usage, fmt::format("command line: {}\n{}", message, usage_text()));
}

// "--help-deck=grid" is taken as "--help-deck grid", so that a section may follow in either way.
std::vector<std::string> arguments(int argc, const char* const* argv) {
  std::vector<std::string> words;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i], prefix = "--help-deck=";
    if (word.rfind(prefix, 0) == 0) {
      words.push_back("--help-deck");
      words.push_back(word.substr(prefix.size()));
    } else {
      words.push_back(word);
    }
  }
  return words;
}

// "--section.key=" empties a key; Boost would miss the value.
std::vector<std::string> take_empty_values(const std::vector<std::string>& words, Overrides& overrides) {
  std::vector<std::string> others;
  for (const std::string& word : words) {
    const bool empty =
        word.starts_with("--") && word.find('.') != std::string::npos && word.find('=') + 1 == word.size();
    if (empty)
      overrides.emplace_back(word.substr(2, word.size() - 3), "");
    else
      others.push_back(word);
  }
  return others;
}

}  // namespace

CommandLine parse_command_line(int argc, const char* const* argv) {
  CommandLine command;
  std::vector<std::string> plain;
  try {
    const po::options_description options = described_options();
    po::positional_options_description positions;
    positions.add("deck", -1);
    using namespace po::command_line_style;
    const auto style =
        allow_long | allow_short | allow_dash_for_short | short_allow_next | long_allow_adjacent | long_allow_next;
    po::command_line_parser parser(take_empty_values(arguments(argc, argv), command.overrides));
    const auto parsed = parser.options(options).positional(positions).style(style).allow_unregistered().run();
    for (const po::option& option : parsed.options) {
      const std::string& name = option.string_key;
      const std::string value = option.value.empty() ? "" : option.value.front();
      if (name == "deck") {
        plain.insert(plain.end(), option.value.begin(), option.value.end());
      } else if (name == "check") {
        command.check = true;
      } else if (name == "version") {
        command.version = true;
      } else if (name == "help") {
        command.help = true;
      } else if (name == "help-deck") {
        command.help_deck = true;
      } else if (name == "plot") {
        command.plot = value;
      } else if (name == "markdown") {
        command.markdown = true;
      } else if (name.find('.') != std::string::npos) {
        command.overrides.emplace_back(name, value);  // a key that does not exist is reported with all the others
      } else {
        refuse(fmt::format("{} is no option", option.original_tokens.empty() ? name : option.original_tokens.front()));
      }
    }
  } catch (const po::error& error) {
    refuse(error.what());
  }
  if (command.help_deck && !plain.empty()) {
    command.section = plain.front();
    plain.erase(plain.begin());
  }
  if (plain.size() > 1) refuse(fmt::format("one deck, please: {}", fmt::join(plain, ", ")));
  if (!plain.empty()) command.deck = plain.front();
  if (command.deck.empty() && !command.help && !command.version && !command.help_deck && command.plot.empty())
    refuse("which deck?");
  return command;
}

std::string usage_text() {
  return "usage: coxswain DECK [--section.key=value ...] [--check]\n"
         "       coxswain --help-deck [SECTION] [--markdown]\n"
         "       coxswain --plot RUN_DIRECTORY\n"
         "       coxswain --version | --help\n"
         "  DECK         INI file that says what to do, such as inputs/tiny/pretrain.ini\n"
         "  --section.key=value  takes the place of a value in the deck\n"
         "  --check      validate the deck, print parameters, memory, work, layout and missing files, and stop\n"
         "  --plot       the loss of a training run (of PPO the reward), drawn in the terminal\n"
         "  --help-deck  every section and key with its default and meaning";
}

}  // namespace coxswain
