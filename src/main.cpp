// Coxswain: deck -> settings -> grid -> phase -> driver.
#include <fmt/format.h>

#include <optional>

#include "base/error.h"
#include "parallel/communicator.h"
#include "parallel/device_communicator.h"
#include "phases/stop_signal.h"
#include "program/check.h"
#include "program/device_choice.h"
#include "program/information.h"
#include "program/program.h"

using namespace coxswain;

int main(int argc, char** argv) {
  CommandLine command;
  std::optional<Error> mistake;
  try {
    command = parse_command_line(argc, argv);
    if (const auto text = information(command)) {
      fmt::print("{}", *text);
      return 0;
    }
  } catch (const Error& error) {
    mistake = error;  // said by one rank
  }
  if (!command.check) StopSignal::hold();  // before any thread is made; a look at a deck has nothing to save
  return run_spmd(argc, argv, [&](Communicator& world) {
    if (mistake) throw *mistake;
    const Settings settings = read_settings_together(command, world);  // typed, checked; an unknown key is an error
    if (command.check) return world.rank() == 0 ? check_deck(settings) : 0;  // memory, work, layout: then stop
    const auto backend = choose_backend(settings.device, world);             // cpu or cuda
    const auto device_world = make_device_communicator(world, *backend, settings.communication);
    const ProcessGrid grid(device_world ? *device_world : world, settings.grid);  // tensor x pipeline x data
    return run_deck(settings, grid, *backend);  // resumes, steps, logs, saves, stops in time
  });
}
