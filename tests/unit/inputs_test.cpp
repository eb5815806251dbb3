// Every deck in inputs/ is valid, what the READMEs show of them can be run, and the GPT-3 decks say what Brown et al.
// 2020 printed.
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>

#include "base/deck.h"
#include "io/append_file.h"
#include "rl/ppo_plan.h"
#include "settings/help.h"
#include "settings/settings.h"

namespace coxswain {
namespace {

const std::filesystem::path kSource = COXSWAIN_SOURCE_DIR;
const std::filesystem::path kInputs = kSource / "inputs";

Settings read(const std::filesystem::path& path) {
  return read_settings(read_deck_text(path.string()), path.string(), {}, 0);
}

TEST(Inputs, EveryDeckIsValid) {
  int decks = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kInputs)) {
    if (entry.path().extension() != ".ini") continue;
    ++decks;
    EXPECT_NO_THROW(read(entry.path())) << entry.path();
  }
  EXPECT_GE(decks, 10);
}

// The block in README.md says what the file that it names says.
TEST(Inputs, TheFirstDeckOfTheReadmeIsPretrainIni) {
  const std::string readme = read_text_file(kSource / "README.md"), fence = "```ini\n";
  const std::size_t first = readme.find(fence);
  ASSERT_NE(first, std::string::npos);
  const std::size_t begin = first + fence.size(), end = readme.find("```", begin);
  Settings shown = read_settings(readme.substr(begin, end - begin), "README.md", {}, 1);
  const Settings deck = read_settings(read_deck_text((kInputs / "tiny" / "pretrain.ini").string()), "deck", {}, 1);
  shown.run.validation_batches = deck.run.validation_batches;  // left out there
  shown.run.log_every = deck.run.log_every;
  EXPECT_EQ(effective_deck(shown), effective_deck(deck));
}

// What a user finds in a folder is in its README: by its name, or the part of it that stands in a list or a pattern.
TEST(Inputs, ReadmesKnowEveryFileOfTheirFolder) {
  for (const char* folder : {"inputs", "inputs/tiny", "inputs/hh", "inputs/machines", "jobs", "jobs/slurm", "tools"}) {
    const std::string readme = read_text_file(kSource / folder / "README.md");
    for (const auto& entry : std::filesystem::directory_iterator(kSource / folder)) {
      const std::string name = entry.path().stem().string();
      if (name == "README" || name.starts_with("__")) continue;
      EXPECT_NE(readme.find(name), std::string::npos) << folder << " has " << entry.path().filename();
    }
  }
}

TEST(Inputs, SampleIniTakesWhatPretrainIniTrains) {
  const Settings pretrain = read(kInputs / "tiny" / "pretrain.ini"), sample = read(kInputs / "tiny" / "sample.ini");
  EXPECT_EQ(sample.run.initialize_from, pretrain.run.directory);
  EXPECT_EQ(sample.model, pretrain.model);
}

// Each chain of jobs that a page shows asks for the ranks that all its decks want.
TEST(Inputs, DocumentedChainsFitTheirNodes) {
  const std::regex chain(R"(rlhf\.sh --nodes=(\d+) --ntasks-per-node=(\d+) -- (\S+)\{(\S+)\}\.ini)");
  for (const char* page : {"README.md", "jobs/slurm/README.md", "jobs/slurm/rlhf.sh"}) {
    SCOPED_TRACE(page);
    const std::string text = read_text_file(kSource / page);
    std::smatch words;
    ASSERT_TRUE(std::regex_search(text, words, chain));
    const int ranks = std::stoi(words[1]) * std::stoi(words[2]);
    const std::string stages = words[4];
    const std::regex stage("[^,]+");
    for (std::sregex_iterator at(stages.begin(), stages.end(), stage); at != std::sregex_iterator(); ++at) {
      const std::string path = (kSource / (words[3].str() + at->str() + ".ini")).string();
      EXPECT_NO_THROW(read_settings(read_deck_text(path), path, {}, ranks));
    }
  }
}

TEST(Inputs, Gpt3DecksFollowTable2_1) {
  struct Row {
    const char* name;
    int layers, hidden, heads, head_size;
    double batch_tokens, learning_rate;
    int ranks;
  };
  const Row table[] = {
      {"125m", 12, 768, 12, 64, 0.5e6, 6.0e-4, 8},  {"350m", 24, 1024, 16, 64, 0.5e6, 3.0e-4, 8},
      {"760m", 24, 1536, 16, 96, 0.5e6, 2.5e-4, 8}, {"1.3b", 24, 2048, 16, 128, 1e6, 2.0e-4, 16},
      {"2.7b", 32, 2560, 32, 80, 1e6, 1.6e-4, 32},  {"6.7b", 32, 4096, 32, 128, 2e6, 1.2e-4, 64},
      {"13b", 40, 5120, 40, 128, 2e6, 1.0e-4, 128}, {"175b", 96, 12288, 96, 128, 3.2e6, 0.6e-4, 1024},
  };
  for (const Row& row : table) {
    SCOPED_TRACE(row.name);
    const Settings settings = read(kInputs / "gpt3" / (std::string(row.name) + ".ini"));
    EXPECT_EQ(settings.model.layers, row.layers);
    EXPECT_EQ(settings.model.hidden, row.hidden);
    EXPECT_EQ(settings.model.heads, row.heads);
    EXPECT_EQ(settings.model.head_size, row.head_size);
    EXPECT_EQ(settings.model.context, 2048);
    EXPECT_EQ(settings.model.vocabulary, 50257);
    EXPECT_NEAR(static_cast<double>(settings.batch.tokens_per_step()) / row.batch_tokens, 1.0, 0.05);
    EXPECT_EQ(settings.optimizer.learning_rate, row.learning_rate);
    EXPECT_EQ(settings.optimizer.warmup_tokens, 375'000'000);
    EXPECT_EQ(settings.optimizer.decay_tokens, 260'000'000'000);
    EXPECT_EQ(settings.grid.ranks(), row.ranks);
  }
}

// run.steps of the decks: 300B tokens, with the ramp taken step by step.
TEST(Inputs, Gpt3DecksEndAt300BillionTokens) {
  for (const char* name : {"125m", "350m", "760m", "1.3b", "2.7b", "6.7b", "13b", "175b"}) {
    const Settings settings = read(kInputs / "gpt3" / (std::string(name) + ".ini"));
    std::int64_t tokens = 0, before_last = 0;
    for (std::int64_t step = 0; step < settings.run.steps; ++step) {
      before_last = tokens;
      const int unit = settings.grid.data_shards * settings.batch.micro;
      tokens += static_cast<std::int64_t>(settings.batch.global_at(tokens, unit)) * settings.batch.length;
    }
    EXPECT_GE(tokens, 300'000'000'000) << name;
    EXPECT_LT(before_last, 300'000'000'000) << name;
  }
}

// Ouyang et al. 2022, appendix C.4.
TEST(Inputs, PpoDecksFollowInstructGpt) {
  struct Row {
    const char* name;
    const char* preset;
    double value_rate, pretrain_coefficient;
  };
  const Row table[] = {{"1.3b_ppo", "gpt3_1.3b", 9e-6, 0},      {"6b_ppo", "gpt3_6.7b", 9e-6, 0},
                       {"175b_ppo", "gpt3_175b", 5e-6, 0},      {"1.3b_ppo_ptx", "gpt3_1.3b", 9e-6, 27.8},
                       {"6b_ppo_ptx", "gpt3_6.7b", 9e-6, 27.8}, {"175b_ppo_ptx", "gpt3_175b", 5e-6, 27.8}};
  for (const Row& row : table) {
    SCOPED_TRACE(row.name);
    const Settings settings = read(kInputs / "instructgpt" / (std::string(row.name) + ".ini"));
    EXPECT_EQ(settings.model.preset, row.preset);
    EXPECT_EQ(settings.reward_model.preset, "gpt3_6.7b");
    EXPECT_EQ(settings.run.steps * settings.ppo.minibatch, 256'000);
    EXPECT_EQ(settings.ppo.episodes, 512);
    EXPECT_EQ(settings.ppo.minibatch, 64);
    EXPECT_EQ(settings.ppo.inner_epochs, 1);
    EXPECT_EQ(settings.ppo.clip, 0.2);
    EXPECT_EQ(settings.ppo.kl_coefficient, 0.02);
    EXPECT_EQ(settings.ppo.kl_target, 0);
    EXPECT_EQ(settings.ppo.discount, 1);
    EXPECT_EQ(settings.ppo.average_decay, 0.992);
    EXPECT_EQ(settings.ppo.value_learning_rate, row.value_rate);
    EXPECT_EQ(settings.ppo.pretrain_coefficient, row.pretrain_coefficient);
    EXPECT_EQ(settings.ppo.pretrain_per_episode, 8);
    EXPECT_EQ(settings.optimizer.schedule, RateSchedule::constant);
    EXPECT_EQ(settings.optimizer.warmup_steps, 10 * settings.ppo.updates_per_rollout());
    EXPECT_EQ(settings.optimizer.warmup_start, 0.1);
    EXPECT_EQ(settings.optimizer.beta2, 0.95);
    EXPECT_EQ(settings.batch.length, 2048);
    EXPECT_EQ(settings.generate.max_new_tokens, 1024);
  }
}

// Ouyang et al. 2022, appendices C.1 and C.4.
TEST(Inputs, SftDecksFollowInstructGpt) {
  struct Row {
    const char *name, *preset;
    int batch;
    double sft_rate, initial_rate;
  };
  const Row table[] = {{"1.3b", "gpt3_1.3b", 32, 9.65e-6, 5e-6},
                       {"6b", "gpt3_6.7b", 32, 9.65e-6, 1.04e-5},
                       {"175b", "gpt3_175b", 8, 5.03e-6, 2.45e-6}};
  for (const Row& row : table) {
    const std::string stem = std::string(row.name) + '_';
    const Settings sft = read(kInputs / "instructgpt" / (stem + "sft.ini"));
    const Settings initial = read(kInputs / "instructgpt" / (stem + "ppo_init.ini"));
    const Settings ppo = read(kInputs / "instructgpt" / (stem + "ppo.ini"));
    for (const Settings& settings : {sft, initial}) {
      SCOPED_TRACE(settings.run.directory);
      EXPECT_EQ(settings.model.preset, row.preset);
      EXPECT_EQ(settings.model.dropout, 0.2);
      EXPECT_EQ(settings.batch.global, row.batch);
      EXPECT_EQ(settings.batch.length, 2048);
      EXPECT_EQ(settings.optimizer.schedule, RateSchedule::cosine);
      EXPECT_EQ(settings.optimizer.minimum_ratio, 0.1);
      EXPECT_EQ(settings.optimizer.warmup_steps, 0);
      EXPECT_EQ(settings.optimizer.beta1, 0.9);
      EXPECT_EQ(settings.optimizer.beta2, 0.95);
      EXPECT_EQ(settings.run.steps, 0) << "from the epochs";
      EXPECT_EQ(settings.run.initialize_from, std::string("runs/") + row.preset);
      EXPECT_EQ(settings.chat, ppo.chat);
    }
    EXPECT_EQ(sft.optimizer.learning_rate, row.sft_rate);
    EXPECT_EQ(sft.sft.epochs, 16);
    EXPECT_EQ(sft.sft.pretrain_share, 0);
    EXPECT_EQ(sft.sft.choose, BestBy::reward);
    EXPECT_EQ(sft.reward_model.preset, "gpt3_6.7b");
    EXPECT_EQ(initial.optimizer.learning_rate, row.initial_rate);
    EXPECT_EQ(initial.sft.epochs, 2);
    EXPECT_EQ(initial.sft.pretrain_share, 0.1);
    EXPECT_EQ(initial.run.directory, ppo.run.initialize_from);
  }
}

// All four models on 1,024 devices of 80 GB, in each part of a step.
TEST(Inputs, The175BDeckFits) {
  const Settings settings = read(kInputs / "instructgpt" / "175b_ppo_ptx.ini");
  EXPECT_EQ(settings.grid.ranks(), 1024);
  EXPECT_EQ(settings.reward_grid.ranks(), 1024);
  const PpoPlan plan = make_ppo_plan(
      {settings.model, settings.reward_model, settings.batch, settings.optimizer, settings.ppo, settings.run.seed},
      settings.grid, settings.reward_grid, settings.generate.slots);
  ASSERT_EQ(plan.ranks.size(), 16u);
  EXPECT_LT(plan.largest().peak(), std::size_t{76} << 30);
  for (const PpoPlan::Rank& rank : plan.ranks) {
    ASSERT_EQ(rank.models.size(), 4u);
    EXPECT_EQ(rank.parts.size(), 4u);
    // BF16 weights of all ranks are at least the model's: 175e9 x 2 bytes / (tensor 8 x pipeline 16), within a layer.
    EXPECT_NEAR(static_cast<double>(rank.models[1].bytes[0]), 2 * 174.6e9 / 128, 0.2e9);
    EXPECT_EQ(rank.models[1].bytes[1] + rank.models[1].bytes[2], 0u);  // the reference has no gradients, no optimizer
    EXPECT_GT(rank.models[0].bytes[2], 16 * 174.6e9 / 1024 * 0.9);     // masters, moments, average: 16 bytes a weight
  }
}

// Ouyang et al. 2022, section 3.5 and appendix C.2: one 6B model for all policies.
TEST(Inputs, InstructGptRewardDecksFollowThePaper) {
  const Settings first = read(kInputs / "instructgpt" / "6b_rm.ini");
  for (const char* name : {"1.3b_rm", "6b_rm", "175b_rm"}) {
    SCOPED_TRACE(name);
    const Settings settings = read(kInputs / "instructgpt" / (std::string(name) + ".ini"));
    EXPECT_EQ(settings.run.phase, "reward");
    EXPECT_EQ(settings.run.steps, 0);
    EXPECT_EQ(settings.model.preset, "gpt3_6.7b");
    EXPECT_EQ(settings.model.head, HeadKind::scalar);
    EXPECT_EQ(settings.optimizer.learning_rate, 9e-6);
    EXPECT_EQ(settings.optimizer.minimum_ratio, 0.1);
    EXPECT_EQ(settings.optimizer.schedule, RateSchedule::cosine);
    EXPECT_EQ(settings.optimizer.beta2, 0.95);
    EXPECT_EQ(settings.batch.global, 64);
    EXPECT_EQ(settings.batch.length, 2048);
    EXPECT_EQ(settings.reward.responses, 9);
    EXPECT_EQ(settings.reward.epochs, 1);
    EXPECT_EQ(settings.reward.normalise, Normalise::bias);
    EXPECT_EQ(settings.run.directory, first.run.directory);
    EXPECT_EQ(settings.reward, first.reward);
    EXPECT_EQ(settings.model, first.model);
  }
  for (const char* size : {"1.3b", "6b", "175b"}) {  // and each policy is judged by it
    const auto stage = [&](const char* name) { return read(kInputs / "instructgpt" / (std::string(size) + name)); };
    EXPECT_EQ(stage("_sft.ini").sft.reward_model, first.run.directory);
    EXPECT_EQ(stage("_ppo.ini").ppo.reward_model, first.run.directory);
    EXPECT_EQ(stage("_ppo_ptx.ini").ppo.reward_model, first.run.directory);
    EXPECT_EQ(stage("_ppo.ini").chat, first.chat);
    EXPECT_EQ(stage("_sft.ini").chat, first.chat);
  }
}

TEST(Inputs, BenchmarkDeckKeepsTheContract) {
  const Settings settings = read(kInputs / "benchmark" / "gpt2_124m.ini");
  EXPECT_EQ(settings.run.steps, 8);
  EXPECT_EQ(settings.model.parameter_count(), 124'439'808);
  EXPECT_EQ(settings.batch.global, 4);
  EXPECT_EQ(settings.batch.length, 256);
  EXPECT_TRUE(settings.data.synthetic());
  EXPECT_EQ(settings.checkpoint.every, 0);
  EXPECT_FALSE(settings.checkpoint.at_end);
}

}  // namespace
}  // namespace coxswain
