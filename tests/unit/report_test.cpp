// report.html: well formed, without anything from outside, with the run's numbers; and the history it is drawn from.
#include "io/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "io/append_file.h"
#include "temporary_folder.h"

namespace coxswain {
namespace {

using testing::HasSubstr;
using testing::Not;

RunHistory short_history() {
  RunHistory history;
  for (int step = 1; step <= 100; ++step) {
    NamedValues metrics{{"loss", 5.0 - 0.02 * step + (step % 2 ? 0.1 : 0)}, {"gradient_norm", step == 50 ? NAN : 1.0}};
    if (step % 20 == 0) metrics.emplace_back("validation_loss", 4.5 - 0.01 * step);
    history.add_metrics(step, 256 * step, metrics);
    history.add_timing({step, 0.5, 512, 0.8, step == 1 || step == 40 ? "start <here>" : ""});
  }
  return history;
}

// Every opened tag is closed in order; enough of a parser for what the report writes.
std::string tag_error(const std::string& html) {
  std::vector<std::string> open;
  const std::vector<std::string> empty = {"meta", "br", "!doctype"};
  for (std::size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
    const bool closing = html[at + 1] == '/';
    const std::size_t begin = at + (closing ? 2 : 1);
    const std::string name = html.substr(begin, html.find_first_of(" >/\n", begin) - begin);
    const std::size_t end = html.find('>', at);
    if (name.empty() || std::find(empty.begin(), empty.end(), name) != empty.end() || html[end - 1] == '/') continue;
    if (!closing) {
      open.push_back(name);
      if (name == "script" || name == "style") at = html.find("</" + name, end) - 1;
    } else if (open.empty() || open.back() != name) {
      return "</" + name + "> closes " + (open.empty() ? "nothing" : open.back());
    } else {
      open.pop_back();
    }
  }
  return open.empty() ? "" : open.back() + " stays open";
}

TEST(Report, IsWellFormedAndComplete) {
  const ReportFacts facts{.phase = "pretrain",
                          .directory = "runs/tiny",
                          .total_steps = 100,
                          .finished = true,
                          .facts = {{"Model", "4 layers & more"}},
                          .deck = "[run]\nsteps = 100  # <all>\n"};
  const std::string html = report_html(facts, short_history());
  EXPECT_EQ(tag_error(html), "");
  for (const char* part :
       {"<b>Finished</b>", "step 100 of 100, 1 restart", "4 layers &amp; more", "# &lt;all&gt;", "start &lt;here&gt;",
        "prefers-color-scheme: dark", "restart at step 40", "Gradient norm", "Tokens per second"}) {
    EXPECT_THAT(html, HasSubstr(part));
  }
  EXPECT_THAT(html, HasSubstr("Last validation loss"));
  EXPECT_THAT(html, Not(HasSubstr("http://")));
  EXPECT_THAT(html, Not(HasSubstr("https://")));
  EXPECT_THAT(html, Not(HasSubstr("nan")));
}

TEST(Report, OfARunWithoutMetrics) {
  const ReportFacts facts{
      .phase = "tokenize", .directory = "out", .total_steps = 3, .finished = false, .facts = {}, .deck = ""};
  EXPECT_EQ(tag_error(report_html(facts, RunHistory())), "");
}

TEST(Report, StaysSmallForLongRuns) {
  RunHistory history;
  for (int step = 1; step <= 20000; ++step) history.add_metrics(step, step, {{"loss", 3 + std::sin(step * 0.7)}});
  EXPECT_LT(report_html({.phase = "p", .directory = "d", .total_steps = 1, .finished = false, .facts = {}, .deck = ""},
                        history)
                .size(),
            100'000u);
}

TEST(RunHistory, ReadsBackWhatWasWritten) {
  const TemporaryFolder folder;
  AppendFile(folder.file("metrics.jsonl"))
      .append(metrics_line(1, 10, {{"z", 1.5}, {"a", NAN}}) + "broken\n" + metrics_line(2, 20, {{"z", 2.5}}));
  AppendFile(folder.file("timing.jsonl")).append(timing_line({1, 2.0, 5, 0.5, "s"}) + timing_line({2, 3.0, 5, -1, ""}));
  const RunHistory history = read_run_history(folder.path());
  EXPECT_EQ(history.step(), 2);
  EXPECT_EQ(history.tokens(), 20);
  EXPECT_EQ(history.seconds(), 5.0);
  ASSERT_EQ(history.metrics().size(), 2u);
  EXPECT_EQ(history.metrics()[0].name, "z");  // the order of the file, not of the alphabet
  EXPECT_EQ(history.metrics()[0].values, (std::vector<double>{1.5, 2.5}));
  EXPECT_TRUE(std::isnan(history.metrics()[1].values[0]));
  ASSERT_EQ(history.sessions().size(), 1u);
  EXPECT_EQ(history.sessions()[0].first_step, 1);
}

}  // namespace
}  // namespace coxswain
