// What the program says without a run.
#include "program/information.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "io/append_file.h"
#include "temporary_folder.h"

namespace coxswain {
namespace {

using testing::HasSubstr;

TEST(Information, PlotsTheLossOrElseWhatComesFirst) {
  TemporaryFolder folder;
  const auto plotted = [&](const std::string& metrics) {
    replace_text_file(folder.file("metrics.jsonl"), metrics);
    CommandLine command;
    command.plot = folder.path().string();
    return information(command).value();
  };
  EXPECT_THAT(plotted("{\"step\": 1, \"learning_rate\": 0.5, \"loss\": 5}\n{\"step\": 2, \"loss\": 4}\n"),
              HasSubstr("loss, 2 steps, last 4.0000"));
  EXPECT_THAT(plotted("{\"step\": 1, \"tokens\": 9, \"reward\": 0.25, \"kl\": 0}\n"),
              HasSubstr("reward, 1 steps, last 0.2500"));
  EXPECT_THROW(plotted("{\"step\": 1, \"tokens\": 9}\n"), Error) << "a run of generate has no metrics";
}

TEST(Information, EndsItsLastLine) {
  CommandLine help, version, deck;
  help.help = version.version = deck.help_deck = true;
  for (const CommandLine& command : {help, version, deck}) EXPECT_EQ(information(command).value().back(), '\n');
}

}  // namespace
}  // namespace coxswain
