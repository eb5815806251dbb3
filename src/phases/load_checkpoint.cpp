#include "phases/load_checkpoint.h"

namespace coxswain {

void load_checkpoint(const std::string& path, const char* what, const LoadContext& context, const Visit& visit) {
  CheckpointReader reader = open_checkpoint(context.world, context.backend, path,
                                            [&](const std::string& line) { context.log.warning("{}", line); });
  reader.load(visit, ExitCode::data);
  context.log.info("{} of {} (step {})", what, reader.folder(), reader.header().step);
}

}  // namespace coxswain
