#include "phases/load_checkpoint.h"

#include <fmt/format.h>

#include "tensor/renamed_archive.h"
#include "train/weight_average.h"

namespace coxswain {

void load_checkpoint(const std::string& path, const char* what, const LoadContext& context, const Visit& visit,
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
}

}  // namespace coxswain
