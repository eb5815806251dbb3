// The results of phase evaluate as a person reads them: lines, a table and a chart.
#include "phases/evaluation_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

namespace coxswain {
namespace {

using testing::HasSubstr;
using testing::Not;

EvaluationReport some_results() {
  EvaluationReport report;
  report.add("policy", "36 responses, " + score_text({.divergence = 4, .score = 0.5, .interval = {0.25, 0.75}}));
  report.add({.plain = {36, 0.75, {0.5, 0.875}}, .length_controlled = {{36, 0.625, {0.25, 1}}, 0}});
  report.add("curve", "a<b");
  return report;
}

std::size_t count(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  return static_cast<std::size_t>(std::distance(std::sregex_iterator(text.begin(), text.end(), regex), {}));
}

TEST(EvaluationReport, OneLineForEachResultOnTheConsole) {
  const EvaluationReport report = some_results();
  EXPECT_EQ(to_text(report),
            "  policy            36 responses, score 0.5000 (0.2500 to 0.7500)\n"
            "  win rate          75.0 % (50.0 to 87.5) of 36 prompts\n"
            "  at equal length   62.5 % (25.0 to 100.0)\n"
            "  curve             a<b\n");
  EXPECT_EQ(note_of(report, 1),
            "win rate: 75.0 % (50.0 to 87.5) of 36 prompts; at equal length: 62.5 % (25.0 to "
            "100.0); curve: a<b");
  EXPECT_EQ(note_of(report, 4), "");
}

TEST(EvaluationReport, ThePageHasATableAndWithoutADivergenceNoChart) {
  const std::string html = to_html(some_results());
  EXPECT_THAT(html, HasSubstr("<tr><th>win rate</th><td>75.0 % (50.0 to 87.5) of 36 prompts</td></tr>"));
  EXPECT_THAT(html, HasSubstr("a&lt;b"));
  EXPECT_THAT(html, Not(HasSubstr("<svg")));
}

TEST(EvaluationReport, TheChartHasEachScoreAtItsRootWithItsInterval) {
  EvaluationReport report = some_results();
  report.curve = {{4, 0.75, {0.5, 1}}, {-0.01, 0.25, {0, 0.5}}, {1, 0.5, {0.25, 0.75}}};
  report.policy = {{2.25, 0.75, {0.5, 1}}};
  const std::string html = to_html(report);
  EXPECT_THAT(html, HasSubstr("data-points=\"[[[0,0.25],[1,0.5],[2,0.75]],[[1.5,0.75]]]\""))
      << "in order, none below 0";
  EXPECT_EQ(count(html, "class=\"bar c1\""), 3u);
  EXPECT_EQ(count(html, "class=\"bar c2\""), 1u);
  EXPECT_THAT(html, HasSubstr(">0.5</text>")) << "sqrt(KL) is no step: it has fractions";
  EXPECT_THAT(html, HasSubstr("data-across=\"sqrt(KL)\""));
  EXPECT_THAT(html, testing::AllOf(HasSubstr(">checkpoints<"), HasSubstr(">policy<"), Not(HasSubstr(">opponent<"))));
}

}  // namespace
}  // namespace coxswain
