#include "phases/load_checkpoint.h"

#include <fmt/format.h>

#include "base/error.h"
#include "model/scalar_head.h"
#include "tensor/renamed_archive.h"
#include "train/weight_average.h"

namespace coxswain {

namespace {

void require_head(const ModelSource& source, const Archive& archive) {
  const bool scores = archive.has(std::string("model/") + kScoreWeight);
  if (!source.head || scores == (*source.head == HeadKind::scalar)) return;
  const char *reward = "reward model", *language = "language model";
  throw Error(ExitCode::data, fmt::format("{} is a {}; the run directory of a {} is needed", named(source),
                                          scores ? reward : language, scores ? language : reward));
}

}  // namespace

std::string named(const ModelSource& source) { return fmt::format("{} = {}", source.key, source.path); }

ModelSource initial_weights(const RunConfig& run, std::optional<HeadKind> head, const char* what) {
  return {run.initialize_from, "[run] initialize_from", what, head, run.initialize_weights};
}

std::string load_model(const ModelSource& source, const LoadContext& context, const Visit& visit) {
  const bool average = source.kind == WeightsKind::average;
  CheckpointReader reader = open_checkpoint(context.world, context.backend, source.path,
                                            [&](const std::string& line) { context.log.warning("{}", line); });
  reader.load(
      [&](Archive& archive) {
        require_head(source, archive);
        RenamedArchive averages(archive, "model/", fmt::format("{}/", kAveragePrefix));
        visit(average ? static_cast<Archive&>(averages) : archive);
      },
      ExitCode::data);
  context.log.info("{} of {} (step {})", source.what, reader.folder(), reader.header().step);
  return reader.manifest().state() + (average ? " average" : "");
}

}  // namespace coxswain
