#include "settings/deck_files.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/error.h"
#include "data/input_files.h"

namespace coxswain {

namespace {

class Files {
 public:
  explicit Files(const Settings& settings) : settings_(settings) {}

  void one(const char* key, const std::string& path) {
    if (!path.empty()) all_.inputs.push_back({key, path});
  }
  void list(const char* key, const std::string& paths) {
    for (const std::string& path : parse_paths(paths)) all_.inputs.push_back({key, path});
  }
  void output(const char* key, const std::string& path) {
    if (!path.empty()) all_.outputs.push_back({key, path});
  }
  void tokens() {
    if (settings_.data.synthetic()) return;
    for (const DataSource& source : parse_sources(settings_.data.source)) one("[data] source", source.path);
  }
  void tokenizer() {
    if (settings_.data.tokenizer != TokenizerKind::gpt2) return;
    one("[data] vocabulary_file", settings_.data.vocabulary_file);
    one("[data] merges_file", settings_.data.merges_file);
  }
  DeckFiles take() { return std::move(all_); }

 private:
  const Settings& settings_;
  DeckFiles all_;
};

// Text and records that become other files.
bool add_of_text(const Settings& settings, Files& files) {
  const DataConfig& data = settings.data;
  const PrepareConfig& prepare = settings.prepare;
  const std::string& phase = settings.run.phase;
  if (phase == "tokenize") {
    files.list("[data] input", data.input);
    files.tokenizer();
    files.output("[data] output", data.output);
    if (data.validation_share > 0) files.output("[data] validation", data.validation);
  } else if (phase == "vocabulary") {
    files.list("[data] input", data.input);
    files.output("[data] vocabulary_file", data.vocabulary_file);
    files.output("[data] merges_file", data.merges_file);
  } else if (phase == "prepare") {
    files.list("[prepare] input", prepare.input);
    files.tokenizer();
    files.output("[prepare] output", prepare.output);
    if (prepare.validation_share > 0) files.output("[prepare] validation", prepare.validation);
    if (prepare.test_share > 0) files.output("[prepare] test", prepare.test);
    files.output("[prepare] report", prepare.report_path());
  } else {
    return false;
  }
  return true;
}

void add_of_pretrain(const Settings& settings, Files& files) {
  files.tokens();
  if (settings.run.validate_every > 0) files.one("[data] validation", settings.data.validation);
}

void add_of_sft(const Settings& settings, Files& files) {
  const SftConfig& sft = settings.sft;
  files.list("[sft] demonstrations", sft.demonstrations);
  if (settings.run.validate_every > 0) files.list("[sft] validation", sft.validation);
  if (sft.pretrain_share > 0) files.tokens();
  if (sft.choose != BestBy::reward) return;
  files.one("[sft] reward_model", sft.reward_model);
  files.list("[sft] validation_prompts", sft.validation_prompts);
}

void add_of_reward(const Settings& settings, Files& files) {
  files.list("[reward] comparisons", settings.reward.comparisons);
  files.list("[reward] validation", settings.reward.validation);
  if (settings.reward.normalise != Normalise::none) files.list("[reward] reference", settings.reward.reference);
}

void add_of_ppo(const Settings& settings, Files& files) {
  const PpoConfig& ppo = settings.ppo;
  files.list("[ppo] prompts", ppo.prompts);
  files.one("[ppo] reward_model", ppo.reward_model);
  files.one("[ppo] value_model", ppo.value_model);
  files.one("[ppo] reference", ppo.reference);
  if (ppo.pretrains()) files.tokens();
}

void add_of_evaluate(const Settings& settings, Files& files) {
  const EvaluateConfig& evaluate = settings.evaluate;
  files.one("[data] validation", settings.data.validation);
  files.list("[evaluate] prompts", evaluate.prompts);
  files.one("[evaluate] reward_model", evaluate.reward_model);
  files.one("[evaluate] reference", evaluate.reference);
  files.one("[evaluate] opponent", evaluate.opponent);
  files.list("[evaluate] curve", evaluate.curve);
  files.one("[evaluate] best_of_policy", evaluate.best_of_policy);
  files.list("[evaluate] scores", evaluate.scores);
  files.list("[evaluate] opponent_scores", evaluate.opponent_scores);
  files.output("[evaluate] output", evaluate.output);
}

void add_of_model(const Settings& settings, Files& files) {
  const std::string& phase = settings.run.phase;
  if (phase == "benchmark") return;  // random tokens and weights
  files.one("[run] initialize_from", settings.run.initialize_from);
  if (phase == "pretrain") return add_of_pretrain(settings, files);
  files.tokenizer();
  if (phase == "sft") add_of_sft(settings, files);
  if (phase == "reward") add_of_reward(settings, files);
  if (phase == "ppo") add_of_ppo(settings, files);
  if (phase == "evaluate") add_of_evaluate(settings, files);
  if (phase == "score") {
    files.list("[score] input", settings.score.input);
    files.output("[score] output", settings.score.output);
  }
  if (phase == "generate") {
    files.list("[generate] prompts", settings.generate.prompts);
    files.output("[generate] output", settings.generate.output);
  }
}

// The files of a pattern that has any, else the path as it stands.
std::vector<std::string> matches(const NamedPath& input) {
  try {
    return matching_files(input.path, input.key);
  } catch (const Error&) {
    return {input.path};
  }
}

// A file by its name, through links, and by what is there: hard links, folders that are mounted twice. Looked up once,
// since a pattern may have thousands of files.
class Identity {
 public:
  explicit Identity(const std::string& path) {
    std::error_code error;
    name_ = std::filesystem::weakly_canonical(path, error).string();
    if (error) name_ = path;
    there_ = ::stat(path.c_str(), &status_) == 0;
  }
  bool same(const Identity& other) const {
    return name_ == other.name_ ||
           (there_ && other.there_ && status_.st_dev == other.status_.st_dev && status_.st_ino == other.status_.st_ino);
  }

 private:
  std::string name_;
  struct stat status_ {};
  bool there_ = false;
};

}  // namespace

DeckFiles deck_files(const Settings& settings) {
  Files files(settings);
  if (!add_of_text(settings, files)) add_of_model(settings, files);
  return files.take();
}

void require_apart(const DeckFiles& files) {
  std::vector<std::pair<NamedPath, Identity>> taken;
  const auto take = [&](const std::string& key, const std::string& path) {
    taken.emplace_back(NamedPath{key, path}, Identity(path));
  };
  for (const NamedPath& input : files.inputs)
    for (const std::string& path : matches(input)) take(input.key, path);
  for (const NamedPath& output : files.outputs) {
    // What is written takes the name of the output at the end; until then it has .tmp behind it.
    const Identity whole(output.path), unfinished(output.path + ".tmp");
    for (const auto& [other, identity] : taken) {
      if (!identity.same(whole) && !identity.same(unfinished)) continue;
      throw Error(ExitCode::usage, fmt::format("{} = {} would be written over {} = {}; choose another name", output.key,
                                               output.path, other.key, other.path));
    }
    take(output.key, output.path);
  }
}

std::vector<NamedPath> missing_inputs(const DeckFiles& files) {
  std::vector<NamedPath> missing;
  for (const NamedPath& input : files.inputs) {
    std::error_code error;
    if (!std::filesystem::exists(matches(input).front(), error)) missing.push_back(input);
  }
  return missing;
}

}  // namespace coxswain
