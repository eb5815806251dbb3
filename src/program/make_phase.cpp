#include "program/make_phase.h"

#include "io/checkpoint_store.h"
#include "phases/benchmark.h"
#include "phases/generate.h"
#include "phases/pretrain.h"
#include "phases/tokenize.h"

namespace coxswain {

namespace {

PretrainConfig pretrain_config(const Settings& settings) {
  return {settings.run, settings.model, settings.batch, settings.optimizer, settings.data};
}

// Weights of another run, where the deck names one.
template <class ModelPhase>
std::unique_ptr<Phase> with_weights(std::unique_ptr<ModelPhase> phase, const Settings& settings,
                                    const ProcessGrid& grid, Backend& backend, Log& log) {
  const std::string& path = settings.run.initialize_from;
  if (!path.empty()) {
    CheckpointReader reader =
        open_checkpoint(grid.world(), backend, path, [&log](const std::string& line) { log.warning("{}", line); });
    reader.load([&phase](Archive& archive) { phase->load_weights(archive); }, ExitCode::data);
    log.info("weights of {} (step {})", reader.folder(), reader.header().step);
  }
  return phase;
}

}  // namespace

std::unique_ptr<Phase> make_phase(const Settings& settings, const ProcessGrid& grid, Backend& backend, Log& log) {
  const std::string& name = settings.run.phase;
  if (name == "tokenize") return std::make_unique<Tokenize>(settings.data, grid.world());
  if (name == "benchmark") return std::make_unique<Benchmark>(pretrain_config(settings), grid, backend);
  if (name == "generate") {
    const GeneratePhaseConfig config{settings.run, settings.generate, settings.model, settings.data,
                                     settings.batch.length};
    return with_weights(std::make_unique<Generate>(config, grid, backend), settings, grid, backend, log);
  }
  auto pretrain = std::make_unique<Pretrain>(pretrain_config(settings), grid, backend);
  for (const std::string& line : pretrain->describe()) log.info("{}", line);
  return with_weights(std::move(pretrain), settings, grid, backend, log);
}

}  // namespace coxswain
