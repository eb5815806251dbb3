#include "program/program.h"

#include <fmt/format.h>
#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/deck.h"
#include "base/error.h"
#include "io/agree.h"
#include "io/checkpoint_store.h"
#include "io/run_directory.h"
#include "io/terminal.h"
#include "phases/driver.h"
#include "program/make_phase.h"
#include "program/run_checkpoints.h"
#include "settings/deck_files.h"
#include "settings/help.h"

namespace coxswain {

namespace {

std::string host_name() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

std::string describe_session(const ProcessGrid& grid, const Backend& backend) {
  const std::vector<std::string> all = grid.world().all_gather(host_name(), "hosts");
  const std::set<std::string> hosts(all.begin(), all.end());
  const std::string each = backend.memory_on_host() ? fmt::format("{} threads", omp_get_max_threads()) : backend.name();
  std::string text = fmt::format("{} ranks x {} on {}", grid.world().size(), each,
                                 hosts.size() == 1 ? *hosts.begin() : fmt::format("{} nodes", hosts.size()));
  const GridConfig& config = grid.config();
  if (config.ranks() == 1) return text;
  text += fmt::format(", tensor {} x pipeline {} x data {}", config.tensor, config.pipeline, config.data);
  if (!backend.memory_on_host()) text += fmt::format(" over {}", grid.world().transport());
  return text;
}

// GEMM rate of all ranks at once, on a product as large as a processor likes them. 0: unknown. A model much smaller
// than one matrix of that product comes nowhere near the rate, and its run may be over before it is measured.
double gemm_rate(const ModelConfig& model, const ProcessGrid& grid, Backend& backend) {
  constexpr std::int64_t kSize = 1024;
  if (model.parameter_count() < kSize * kSize / 4) return 0;
  const double seconds =
      backend.library_product_seconds(LinearProduct::forward, model.working_type(), kSize, kSize, kSize);
  backend.release_idle(kSize * kSize);  // what only this product wanted
  std::vector<double> rates(static_cast<std::size_t>(grid.world().size()), 0.0);
  if (seconds > 0) rates[static_cast<std::size_t>(grid.world().rank())] = 2.0 * kSize * kSize * kSize / seconds;
  grid.world().all_merge(rates, "GEMM rates");
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return sum;
}

// The reward model that the phase looks at, and the key that names it.
std::pair<std::string, const char*> reward_model_path(const Settings& settings) {
  if (settings.run.phase == "ppo") return {settings.ppo.reward_model, "[ppo] reward_model"};
  if (settings.run.phase == "sft" && settings.sft.choose == BestBy::reward)
    return {settings.sft.reward_model, "[sft] reward_model"};
  if (settings.run.phase == "evaluate") return {settings.evaluate.reward_model, "[evaluate] reward_model"};
  return {"", ""};
}

// Shape of the reward model, where the deck does not give it: its checkpoint holds the deck that it was made with.
void read_reward_model(const std::string& path, const char* key, Communicator& world, Settings& settings) {
  const std::string deck =
      from_rank_0(world, "deck of the reward model", [&] { return checkpoint_info(path).header.deck; });
  try {
    settings.reward_model = model_of_deck(deck);
    settings.reward_model.head = HeadKind::scalar;
    settings.reward_model.check();
  } catch (const std::exception& problem) {
    throw Error(ExitCode::data, fmt::format("{} = {}: its checkpoint's deck cannot be used ({}); give the shape in "
                                            "[reward_model]",
                                            key, path, problem.what()));
  }
  if (settings.reward_model.vocabulary != settings.model.vocabulary)
    throw Error(ExitCode::data, fmt::format("{} = {} has a vocabulary of {} tokens and [model] one of {}: both must be "
                                            "trained with the same tokenizer",
                                            key, path, settings.reward_model.vocabulary, settings.model.vocabulary));
}

}  // namespace

Settings read_settings_together(const CommandLine& command, Communicator& world) {
  std::string text;
  std::string problem;
  if (world.rank() == 0) {
    try {
      text = read_deck_text(command.deck);
    } catch (const Error& error) {
      problem = error.what();
    }
  }
  problem = world.broadcast(problem, 0, "deck");
  if (!problem.empty()) throw Error(ExitCode::usage, problem);
  text = world.broadcast(text, 0, "deck");
  Settings settings = read_settings(text, command.deck, command.overrides, command.check ? 0 : world.size());
  from_rank_0(world, "files of the deck", [&] {
    DeckFiles files = deck_files(settings);
    files.inputs.push_back({"the deck", command.deck});
    require_apart(files);
    return std::string();
  });
  const auto [path, key] = reward_model_path(settings);
  if (!path.empty() && settings.reward_model.layers == 0) read_reward_model(path, key, world, settings);
  return settings;
}

int run_deck(const Settings& settings, const ProcessGrid& grid, Backend& backend) {
  Communicator& world = grid.world();
  RunDirectory directory(settings.run.directory, world);
  Log log({.speaks = world.rank() == 0, .speaker = grid.coordinates()});
  DriverOptions options;
  options.run = settings.run;
  options.checkpoint = settings.checkpoint;
  if (settings.optimizer.on_nan == NanPolicy::skip) options.max_skips = settings.optimizer.max_skips;
  options.deck = effective_deck(settings);
  options.session = describe_session(grid, backend);
  log.info("coxswain {}: {} with {}, {}", COXSWAIN_VERSION, settings.run.phase,
           has_model(settings)
               ? fmt::format("{} parameters", count_text(static_cast<double>(settings.model.parameter_count())))
               : "no model",
           options.session);
  options.facts = {{"version", COXSWAIN_VERSION}, {"ranks", options.session}};
  if (has_model(settings)) {
    options.facts.emplace_back("model", fmt::format("{} parameters", settings.model.parameter_count()));
    if (settings.run.phase != "generate") options.gemm_flops_rate = gemm_rate(settings.model, grid, backend);
  }
  RunCheckpoints checkpoints(grid, backend, directory.checkpoints(), settings.checkpoint, options.deck, log);
  const auto phase = make_phase(settings, grid, backend, log);
  return Driver(options, world, log, &checkpoints).run(*phase);
}

}  // namespace coxswain
