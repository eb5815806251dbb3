#include "phases/load_checkpoint.h"

#include <fmt/format.h>

#include "base/error.h"
#include "model/scalar_head.h"
#include "tensor/renamed_archive.h"
#include "train/weight_average.h"

namespace coxswain {

std::string load_checkpoint(const std::string& path, const char* what, const LoadContext& context, const Visit& visit,
                            WeightsKind kind) {
  CheckpointReader reader = open_checkpoint(context.world, context.backend, path,
                                            [&](const std::string& line) { context.log.warning("{}", line); });
  reader.load(
      [&](Archive& archive) {
        RenamedArchive average(archive, "model/", fmt::format("{}/", kAveragePrefix));
        visit(kind == WeightsKind::average ? static_cast<Archive&>(average) : archive);
      },
      ExitCode::data);
  context.log.info("{} of {} (step {})", what, reader.folder(), reader.header().step);
  return reader.manifest().state() + (kind == WeightsKind::average ? " average" : "");
}

void require_head(HeadKind wanted, const Archive& archive, const char* key, const std::string& path) {
  const bool scores = archive.has(std::string("model/") + kScoreWeight);
  if (scores == (wanted == HeadKind::scalar)) return;
  const char *reward = "reward model", *language = "language model";
  throw Error(ExitCode::data, fmt::format("{} = {} is a {}; the run directory of a {} is needed", key, path,
                                          scores ? reward : language, scores ? language : reward));
}

}  // namespace coxswain
