// Decks as users write them: good ones are read, bad ones get one error with place, value and what is allowed.
#include "settings/settings.h"
#include "settings/key_table.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace coxswain {
namespace {

// Lines 1 to 14; a test adds its own from line 15.
const std::string kGood =
    "[run]\nsteps = 10\n"                                                            // 1, 2
    "[model]\nlayers = 4\nhidden = 32\nheads = 4\nvocabulary = 256\ncontext = 64\n"  // 3 ... 8
    "[batch]\nglobal = 8\nmicro = 2\nlength = 64\n"                                  // 9 ... 12
    "[data]\nsource = synthetic\n";                                                  // 13, 14

const Overrides kPpo{{"run.phase", "ppo"},
                     {"run.initialize_from", "run"},
                     {"generate.max_new_tokens", "32"},
                     {"ppo.prompts", "a.jsonl"},
                     {"ppo.reward_model", "rm"}};
const Overrides kEvaluate{{"run.phase", "evaluate"},
                          {"run.initialize_from", "run"},
                          {"generate.max_new_tokens", "32"},
                          {"evaluate.prompts", "a.jsonl"}};

Settings read(const std::string& extra, int ranks = 0, const Overrides& overrides = {}) {
  return read_settings(kGood + extra, "a.ini", overrides, ranks);
}

std::string refusal(const std::string& extra, int ranks = 0, const Overrides& overrides = {}) {
  try {
    read(extra, ranks, overrides);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "accepted";
}

TEST(Settings, ReadsAGoodDeck) {
  const Settings settings = read(
      "[run]\nphase = pretrain\nseed = 18446744073709551615\n"
      "[model]\nprecision = bf16\ngated = yes\n[optimizer]\nwarmup_tokens = 2.5e5\ndecay_tokens = 1_000_000\n"
      "[grid]\ntensor_shards = 2\n[batch]\nrecompute = selective\n");
  EXPECT_EQ(settings.run.steps, 10);
  EXPECT_EQ(settings.run.seed, ~0ull);
  EXPECT_EQ(settings.model.precision, Precision::bf16);
  EXPECT_TRUE(settings.model.gated);
  EXPECT_EQ(settings.model.head_size, 8);  // filled in
  EXPECT_EQ(settings.optimizer.warmup_tokens, 250000);
  EXPECT_EQ(settings.optimizer.decay_tokens, 1000000);
  EXPECT_EQ(settings.grid.tensor_shards, 2);
  EXPECT_EQ(settings.grid.data, 1);
  EXPECT_EQ(settings.batch.recompute, Recompute::selective);
  EXPECT_TRUE(settings.data.synthetic());
}

TEST(Settings, FillsTheDataRanksIn) {
  EXPECT_EQ(read("[grid]\ntensor = 2\n", 8).grid.data, 4);
  EXPECT_EQ(read("[grid]\ntensor = 2\n", 8).grid.data_shards, 4);
}

TEST(Settings, RanksThatShareAGpuExchangeThroughTheHost) {
  EXPECT_EQ(read("").communication.transport, Transport::automatic);
  EXPECT_EQ(read("[device]\nranks_per_gpu = 2\n").communication.transport, Transport::staged);
}

TEST(Settings, KeysOverrideThePresetWhereverTheyStand) {
  const std::string deck =
      "[model]\nlayers = 2\npreset = gpt2\n[run]\nsteps = 1\n[data]\nsource = synthetic\n[batch]\nlength = 16\n";
  const Settings settings = read_settings(deck, "a.ini", {}, 0);
  EXPECT_EQ(settings.model.preset, "gpt2");
  EXPECT_EQ(settings.model.layers, 2);
  EXPECT_EQ(settings.model.hidden, 768);
  const Settings other = read_settings(deck, "a.ini", {{"model.preset", "llama_7b"}}, 0);
  EXPECT_EQ(other.model.layers, 2);
  EXPECT_EQ(other.model.feed_forward, 11008);
  EXPECT_EQ(other.model.norm, NormKind::rms);
}

TEST(Settings, TokenizeNeedsNoModel) {
  const std::string deck = "[run]\nphase = tokenize\n[data]\ninput = a.txt\noutput = a.h5\nseparator = \\n\\n\n";
  EXPECT_EQ(read_settings(deck, "a.ini", {}, 3).data.separator, "\n\n");
}

TEST(Settings, ReadsTheChatFormat) {
  const Settings usual = read("");
  EXPECT_EQ(usual.chat.user_prefix, "\n\nHuman: ");
  EXPECT_EQ(usual.data.on_bad_line, BadLine::stop);
  const Settings settings = read(
      "[chat]\nuser_prefix = Q:\\x20\nturn_end = \\n\nassistant_prefix = A:\nstop =\n[data]\n"
      "on_bad_line = skip\n");
  EXPECT_EQ(settings.chat.user_prefix, "Q: ");
  EXPECT_EQ(settings.chat.turn_end, "\n");
  EXPECT_EQ(settings.chat.stop, "");
  EXPECT_EQ(settings.data.on_bad_line, BadLine::skip);
  EXPECT_EQ(refusal("[chat]\nuser_prefix = X:\nassistant_prefix = X:\n"),
            "a.ini:17: [chat] assistant_prefix = X: is also user_prefix; the two roles need different markers");
}

TEST(Settings, RewardModelsEndInAScalarHead) {
  EXPECT_EQ(read("").model.head, HeadKind::language);
  EXPECT_EQ(read("").reward_model.head, HeadKind::scalar);
  EXPECT_EQ(read("[reward_model]\npreset = gpt2\nlayers = 3\n").reward_model.head, HeadKind::scalar);
}

std::string all_sections() {
  std::string names;
  for (const Section& section : deck_sections()) names += (names.empty() ? "" : ", ") + section.name;
  return names;
}

TEST(Settings, NamesUnknownKeysAllAtOnce) {
  EXPECT_EQ(refusal("[batch]\nmirco = 4\n[grid]\nsteps = 3\n[modle]\nlayers_ = 2\n[run]\nxyzzyxyzzy = 1\n"
                    "[optimiser]\nfrobnicate = 1\n"),
            "a.ini:16: [batch] mirco = 4 is no known key; did you mean micro?\n"
            "a.ini:18: [grid] steps = 3 is no known key; did you mean [run] steps?\n"
            "a.ini:20: [modle] layers_ = 2 is no known key; did you mean [model] layers?\n"
            "a.ini:22: [run] xyzzyxyzzy = 1 is no known key; --help-deck run lists the keys of this section\n"
            "a.ini:24: [optimiser] frobnicate = 1 is no known key; use one of the sections " +
                all_sections());
}

TEST(Settings, SaysWhatAValueMayBe) {
  const std::pair<const char*, const char*> table[] = {
      {"[run]\nseed = two\n", "a.ini:16: [run] seed = two is no whole number of 64 bits; use 0 or more"},
      {"[run]\nlog_every = 0\n", "a.ini:16: [run] log_every = 0 is out of range; use 1 or more (steps)"},
      {"[run]\nlog_every = 1.5\n", "a.ini:16: [run] log_every = 1.5 is no whole number; use 1 or more (steps)"},
      {"[run]\nlog_every =\n", "a.ini:16: [run] log_every =  is no whole number; use 1 or more (steps)"},
      {"[optimizer]\nwarmup_tokens = 9223372036854775807\n",
       "a.ini:16: [optimizer] warmup_tokens = 9223372036854775807 is too large; use 0 or more (tokens)"},
      {"[grid]\ntensor = 5000000000\n", "a.ini:16: [grid] tensor = 5000000000 is too large; use 1 or more (ranks)"},
      {"[optimizer]\nlearning_rate = -1\n",
       "a.ini:16: [optimizer] learning_rate = -1 is out of range; use more than 0"},
      {"[optimizer]\nlearning_rate = nan\n", "a.ini:16: [optimizer] learning_rate = nan is no number; use more than 0"},
      {"[optimizer]\nbeta1 = 1\n", "a.ini:16: [optimizer] beta1 = 1 is out of range; use 0 or more, less than 1"},
      {"[model]\nprecision = fp16\n",
       "a.ini:16: [model] precision = fp16 is not known (did you mean fp32?); use fp32, bf16"},
      {"[model]\nbias = maybe\n", "a.ini:16: [model] bias = maybe is neither yes nor no; use yes, no"},
      {"[data]\nseparator = \\q\n",
       "a.ini:16: [data] separator = \\q has an unknown escape; use \\n, \\t, \\\\ or \\x and two hexadecimal digits; "
       "use "
       "text with \\n and \\t, or empty"},
      {"[device]\nkind = cuda\n",
       "a.ini:16: [device] kind = cuda: this build has no CUDA backend; use cpu or auto, or build the preset cuda"},
  };
  for (const auto& [extra, message] : table) EXPECT_EQ(refusal(extra), message);
}

TEST(Settings, BadPresetIsReportedOnce) {
  const std::string message = refusal("[model]\npreset = gpt3_175\n");
  EXPECT_EQ(
      message.rfind("a.ini:16: [model] preset = gpt3_175 is not known (did you mean gpt3_175b?); use custom, gpt1", 0),
      0u)
      << message;
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

TEST(Settings, ChecksSectionsAgainstEachOther) {
  const std::pair<const char*, const char*> table[] = {
      {"[grid]\ntensor = 3\n", "a.ini:16: [grid] tensor = 3 does not divide [model] heads = 4; use 1, 2, 4"},
      {"[grid]\ntensor = 3\ntensor_shards = 0\n",
       "a.ini:16: [grid] tensor = 3 does not divide [model] heads = 4; use 1, 2, 4"},
      {"[grid]\ntensor = 100000\npipeline = 100000\n",
       "a.ini:16: [grid] tensor = 100000 x pipeline = 100000 x data = 0 is more than 16777216 ranks"},
      {"[grid]\ntensor_shards = 8\n",
       "a.ini:16: [grid] tensor_shards = 8 does not divide [model] heads = 4; use 1, 2, 4"},
      {"[model]\nkv_heads = 1\n[grid]\ntensor = 2\n",
       "a.ini:18: [grid] tensor = 2 does not divide [model] kv_heads = 1; use 1"},
      {"[model]\nfeed_forward = 127\n[grid]\ntensor = 2\n",
       "a.ini:18: [grid] tensor = 2 does not divide [model] feed_forward = 127; use 1"},
      {"[grid]\npipeline = 2\nvirtual_stages = 4\n",
       "a.ini:16: [grid] pipeline = 2 times [grid] virtual_stages = 4 makes 8 stages of [model] layers = 4; use at "
       "most 4 "
       "stages"},
      {"[grid]\ndata = 3\n",
       "a.ini:10: [batch] global = 8 is not a multiple of [grid] data = 3 times [batch] micro = 2; use 6 or 12"},
      {"[grid]\ndata_shards = 8\n",
       "a.ini:10: [batch] global = 8 is not a multiple of [grid] data_shards = 8 times [batch] micro = 2; use 16"},
      {"[model]\nheads = 4\n", "a.ini:16: [model] heads is given twice, first in line 6; leave one"},
      {"[batch]\nramp_start = 1\nramp_tokens = 100\n",
       "a.ini:16: [batch] ramp_start = 1 is less than [grid] data = 1 times [batch] micro = 2; use 2 or more"},
      {"[run]\nvalidate_every = 5\nphase = generate\n",
       "a.ini:8: [generate] max_new_tokens = 128 leaves no room for a prompt in [model] context = 64; use less than "
       "64"},
      {"[optimizer]\nwarmup_steps = 5\nwarmup_tokens = 7\n",
       "a.ini:17: [optimizer] warmup_tokens = 7 and [optimizer] warmup_steps = 5 exclude each other; give one"},
  };
  for (const auto& [extra, message] : table) {
    const std::string said = refusal(extra);
    EXPECT_NE(said.find(message), std::string::npos) << "expected: " << message << "\nsaid: " << said;
  }
}

TEST(Settings, TheGlobalBatchIsCheckedWhereThereIsOne) {
  const Overrides wide{{"batch.micro", "16"}};
  EXPECT_EQ(refusal("", 0, wide),
            "a.ini:10: [batch] global = 8 is not a multiple of [grid] data = 1 times [batch] micro = 16; use 16");
  const Overrides generate{{"run.phase", "generate"},
                           {"run.initialize_from", "run"},
                           {"generate.max_new_tokens", "32"},
                           {"generate.prompt", "a"}};
  for (Overrides phase : {generate, kPpo, kEvaluate}) {
    phase.insert(phase.end(), wide.begin(), wide.end());
    EXPECT_EQ(refusal("", 0, phase), "accepted") << phase.front().second;
  }
}

// A policy's responses are drawn as [generate] says, or the deck is refused.
TEST(Settings, SamplingThatAPhaseCannotHaveIsRefused) {
  const auto said = [](Overrides phase, const char* key, const char* value) {
    phase.emplace_back(std::string("generate.") + key, value);
    return refusal("", 0, phase);
  };
  const std::pair<const char*, const char*> own[] = {
      {"temperature", "0.5"}, {"top_k", "5"}, {"top_p", "0.5"}, {"min_new_tokens", "3"}};
  for (const auto& [key, value] : own) {
    EXPECT_NE(said(kPpo, key, value).find("PPO learns from the policy's own distribution"), std::string::npos) << key;
    EXPECT_EQ(said(kEvaluate, key, value), "accepted") << key;
  }
  for (const Overrides& phase : {kPpo, kEvaluate}) {
    EXPECT_NE(said(phase, "samples", "2").find("one response to a prompt"), std::string::npos);
    EXPECT_EQ(said(phase, "stop", "end"), "accepted");
  }
}

TEST(Settings, PpoSaysThatItDoesNotValidate) {
  Overrides ppo = kPpo;
  ppo.emplace_back("run.validate_every", "5");
  EXPECT_NE(refusal("", 0, ppo).find("[run] validate_every = 5: phase ppo validates nothing"), std::string::npos);
}

TEST(Settings, GenerateLeavesRoomForAPromptInWhatItSeesAtOnce) {
  Overrides generate{{"run.phase", "generate"},
                     {"run.initialize_from", "run"},
                     {"generate.prompt", "a"},
                     {"generate.max_new_tokens", "40"},
                     {"batch.length", "40"}};
  EXPECT_NE(refusal("", 0, generate).find("leaves no room for a prompt in [batch] length = 40; use less than 40"),
            std::string::npos);
}

// Sizes that nobody can hold, so that not even their plan is made.
TEST(Settings, RefusesWhatNoMemoryHolds) {
  EXPECT_EQ(
      refusal("", 0, {{"batch.micro", "1000000000"}, {"batch.global", "16000000"}}),
      "command line: [batch] micro = 1000000000 makes a micro-batch of more than 16777216 tokens; use 262144 or less\n"
      "command line: [batch] global = 16000000 is not a multiple of [grid] data = 1 times [batch] micro = 1000000000; "
      "use a smaller [batch] micro");
  EXPECT_EQ(refusal("", 0, {{"batch.micro", "262144"}, {"batch.global", "262144"}}), "accepted");
  const auto of_reward = [](const char* micro) {
    return refusal("", 0,
                   {{"run.phase", "reward"},
                    {"reward.comparisons", "a.jsonl"},
                    {"reward.normalise", "none"},
                    {"reward.responses", "4"},
                    {"batch.micro", micro},
                    {"batch.global", micro}});
  };
  EXPECT_EQ(of_reward("65536"), "accepted");
  EXPECT_EQ(of_reward("65537"),
            "command line: [batch] micro = 65537 makes a micro-batch of more than 16777216 tokens; use 65536 or less");
  EXPECT_EQ(refusal("", 0, {{"batch.global", "16777217"}}),
            "command line: [batch] global = 16777217 is out of range; use 1 to 16777216 (sequences)");
  EXPECT_EQ(refusal("", 0, {{"generate.slots", "65537"}}),
            "command line: [generate] slots = 65537 is out of range; use 1 to 65536 (responses)");
  EXPECT_EQ(refusal("", 0, {{"generate.slots", "65536"}}), "accepted");
  EXPECT_NE(refusal("", 0, {{"ppo.episodes", "16777217"}}), "accepted");
  EXPECT_NE(refusal("", 0, {{"ppo.minibatch", "16777217"}}), "accepted");
}

// What follows from a size that is out of reach is no advice that the next start would refuse.
TEST(Settings, AdvisesNoNumberThatAKeyCannotHold) {
  const auto advice = [](Overrides overrides, const std::string& key) {
    const std::string said = refusal("", 0, overrides);
    const std::size_t place = said.find(key), end = said.find('\n', place);
    return place == std::string::npos ? said : said.substr(said.rfind("; ", end) + 2, end - said.rfind("; ", end) - 2);
  };
  const Overrides wide{{"batch.micro", "1500000000"}, {"grid.data", "4"}};
  EXPECT_EQ(advice(wide, "[batch] global"), "use a smaller [batch] micro");
  EXPECT_EQ(advice({{"batch.global", "16777215"}}, "[batch] global"), "use 16777214 or 16777216");
  EXPECT_EQ(advice({{"batch.global", "16777215"}, {"batch.micro", "11"}}, "[batch] global"), "use 16777211");
  Overrides ppo = kPpo;
  ppo.insert(ppo.end(), wide.begin(), wide.end());
  EXPECT_EQ(advice(ppo, "[ppo] minibatch"), "use a smaller [batch] micro");
  ppo = kPpo;
  ppo.insert(ppo.end(), {{"ppo.episodes", "9"}, {"ppo.minibatch", "9"}});
  EXPECT_EQ(advice(ppo, "[ppo] minibatch"), "use 8 or 10");
  EXPECT_EQ(refusal("", 0, {{"batch.micro", "200000"}, {"batch.ramp_start", "1"}, {"batch.ramp_tokens", "1"}}),
            "a.ini:10: [batch] global = 8 is not a multiple of [grid] data = 1 times [batch] micro = 200000; "
            "use 200000");
}

TEST(Settings, PlacesACommandLineValueOnTheCommandLine) {
  EXPECT_EQ(refusal("", 0, {{"batch.length", "65"}}),
            "command line: [batch] length = 65 is longer than [model] context = 64; use 64 or less");
  EXPECT_EQ(refusal("", 0, {{"batch.length", "63"}, {"grid.tensor", "4"}}),
            "command line: [batch] length = 63 times [batch] micro = 2 is 126 rows, which [grid] tensor = 4 does not "
            "divide; use a multiple of 4");
  EXPECT_EQ(refusal("", 0, {{"grid.tenosr", "4"}}),
            "command line: [grid] tenosr = 4 is no known key; did you mean tensor?");
}

TEST(Settings, AsksForWhatAPhaseNeeds) {
  EXPECT_EQ(refusal("", 0, {{"run.steps", "0"}, {"data.source", ""}}),
            "command line: [run] steps must be given for [run] phase = pretrain: how long to run\n"
            "command line: [data] source must be given for [run] phase = pretrain: a token file, or synthetic");
  EXPECT_EQ(refusal("", 0, {{"run.validate_every", "3"}, {"data.source", "a.h5"}}),
            "a.ini: [data] validation must be given for [run] phase = pretrain: validate_every is on");
  EXPECT_EQ(
      refusal("", 0, {{"run.phase", "benchmark"}, {"run.benchmark", "generate"}}),
      "command line: [generate] synthetic_prompts must be given for [run] phase = benchmark: how many responses to "
      "measure");
}

TEST(Settings, RefusesAGridThatTheRanksDoNotFill) {
  EXPECT_EQ(refusal("[grid]\ntensor = 2\n", 3).rfind("a.ini:16: [grid] tensor = 2", 0), 0u)
      << refusal("[grid]\ntensor = 2\n", 3);
}

}  // namespace
}  // namespace coxswain
