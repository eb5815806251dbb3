// Ends under mpirun in the way that its argument says; spmd_endings.sh looks at what comes out.
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>

#include "base/error.h"
#include "parallel/process_grid.h"

using coxswain::Communicator;
using coxswain::Error;
using coxswain::ExitCode;

int main(int argc, char** argv) {
  const std::string ending = argc > 1 ? argv[1] : "";
  return coxswain::run_spmd(argc, argv, [&](Communicator& world) -> int {
    const coxswain::ProcessGrid grid(world, {.tensor = 2, .pipeline = 1});
    const bool third = world.rank() == 2;
    if (ending == "finished") return 0;
    if (ending == "requeue") return static_cast<int>(ExitCode::requeue);
    if (ending == "one_rank_returns") return third ? 76 : 0;
    if (ending == "usage") {
      std::this_thread::sleep_for(std::chrono::milliseconds(100) * world.rank());
      throw Error(ExitCode::usage, "the deck is wrong");
    }
    if (ending == "diverged_everywhere") throw Error(ExitCode::diverged, "the loss is NaN").on_every_rank();
    if (ending == "usage_as_others_finish" && third) throw Error(ExitCode::usage, "seen by one");
    if (ending == "usage_as_others_wait" && third) throw Error(ExitCode::data, "seen by one");
    if (ending == "internal" && third) throw Error(ExitCode::internal, "the invariant is broken");
    if (ending == "disk_full" && third) throw Error(ExitCode::input_output, "no space left");
    if (ending == "exception" && third) throw std::invalid_argument("a kernel refuses");
    if (ending != "usage_as_others_finish") world.barrier("wait for all");
    return 0;
  });
}
