// An output that cannot be written is an error before the work begins.
#include "io/output_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "base/error.h"
#include "io/append_file.h"
#include "phases/evaluate.h"
#include "phases/generate.h"
#include "phases/score.h"
#include "temporary_folder.h"

namespace coxswain {
namespace {

using testing::HasSubstr;

class OutputFile : public testing::Test {
 protected:
  std::string problem(const std::string& path) {
    try {
      try_output(*world, path, "[generate] output");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::input_output);
      return error.what();
    }
    return {};
  }
  TemporaryFolder folder;
  std::unique_ptr<Communicator> world = make_planned_communicator(0, 1);
};

TEST_F(OutputFile, MakesTheFolderAndNothingElse) {
  EXPECT_EQ(problem(folder.file("new/deeper/x.jsonl")), "");
  EXPECT_TRUE(std::filesystem::is_empty(folder.file("new/deeper")));
  EXPECT_EQ(problem(""), "");
}

TEST_F(OutputFile, LeavesWhatIsThere) {
  replace_text_file(folder.file("x.jsonl"), "old");
  EXPECT_EQ(problem(folder.file("x.jsonl")), "");
  EXPECT_EQ(read_text_file(folder.file("x.jsonl")), "old");
}

TEST_F(OutputFile, NamesKeyAndPathOfWhatCannotBe) {
  replace_text_file(folder.file("file"), "");
  const std::string path = folder.file("file/x.jsonl");
  EXPECT_THAT(problem(path), HasSubstr("[generate] output = " + path));
  EXPECT_THAT(problem(folder.path().string()), HasSubstr("is a folder"));
}

// Before it reads prompts, texts or a judge, all of which are missing here.
TEST_F(OutputFile, EveryPhaseTriesItsOwnFirst) {
  ModelConfig model;
  model.layers = 1;
  model.hidden = 16;
  model.heads = 2;
  model.vocabulary = 257;
  model.context = 16;
  model.check();
  GridConfig one;
  one.check(1);
  const ProcessGrid grid = ProcessGrid::planned(one, 0);
  const auto backend = make_cpu_backend();
  std::ostringstream said;
  Log log({.speaks = true, .speaker = "", .out = &said, .error = &said});
  const std::string bad = folder.path().string(), missing = folder.file("missing.jsonl");
  const auto code_of = [](const auto& make) {
    try {
      make();
    } catch (const Error& error) {
      return error.code();
    }
    return ExitCode::finished;
  };

  GeneratePhaseConfig generate;
  generate.model = model;
  generate.generate.prompts = missing;
  EXPECT_EQ(code_of([&] { Generate(generate, grid, *backend, log); }), ExitCode::data);
  generate.generate.output = bad;
  EXPECT_EQ(code_of([&] { Generate(generate, grid, *backend, log); }), ExitCode::input_output);

  ScorePhaseConfig score;
  score.model = model;
  score.model.head = HeadKind::scalar;
  score.score.input = missing;
  EXPECT_EQ(code_of([&] { Score(score, grid, *backend, log); }), ExitCode::data);
  score.score.output = bad;
  EXPECT_EQ(code_of([&] { Score(score, grid, *backend, log); }), ExitCode::input_output);

  EvaluatePhaseConfig evaluate;
  evaluate.model = model;
  evaluate.reward_model = score.model;
  evaluate.reward_grid = one;
  evaluate.batch.length = model.context;
  evaluate.evaluate.reward_model = missing;
  EXPECT_EQ(code_of([&] { Evaluate(evaluate, grid, *backend, log).load_frozen(); }), ExitCode::data);
  evaluate.evaluate.output = bad;
  EXPECT_EQ(code_of([&] { Evaluate(evaluate, grid, *backend, log); }), ExitCode::input_output);
}

}  // namespace
}  // namespace coxswain
