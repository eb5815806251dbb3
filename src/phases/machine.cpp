#include "phases/machine.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/disk_file.h"
#include "io/terminal.h"
#include "phases/plan_text.h"

namespace coxswain {

namespace {

constexpr double kDriver = 2.0 * (std::size_t{1} << 30);  // of a GPU's memory: driver, libraries and their workspaces

class MachineFile {
 public:
  explicit MachineFile(const std::string& file) : file_(file) {
    std::string text;
    try {
      const DiskFile open = DiskFile::open(file);
      text.resize(static_cast<std::size_t>(open.size()));
      open.read(0, std::as_writable_bytes(std::span(text)));
    } catch (const Error& error) {
      throw Error(ExitCode::data, fmt::format("[device] machine = {}: {}", file, error.what()));
    }
    json_ = nlohmann::json::parse(text, nullptr, false);
    if (!json_.is_object()) refuse("is no JSON object; inputs/machines/h100.json shows the form");
  }

  std::string name() const {
    const auto found = json_.find("name");
    if (found == json_.end() || !found->is_string()) refuse("name is missing: a text that says what the node is");
    return found->get<std::string>();
  }
  double number(const char* group, const char* key) const {
    const auto part = json_.find(group);
    if (part == json_.end() || !part->is_object() || !part->contains(key))
      refuse(fmt::format("{}.{} is missing: a number above 0", group, key));
    const nlohmann::json& value = (*part)[key];
    if (!value.is_number() || !(value.get<double>() > 0))
      refuse(fmt::format("{}.{} = {}: must be a number above 0", group, key, value.dump()));
    return value.get<double>();
  }
  int count(const char* group, const char* key) const {
    constexpr double kMost = 1 << 20;
    const double value = number(group, key);
    if (value > kMost || value != static_cast<int>(value))
      refuse(fmt::format("{}.{} = {}: must be a whole number", group, key, value));
    return static_cast<int>(value);
  }
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(ExitCode::data, fmt::format("{}: {}", file_, what));
  }

 private:
  const std::string& file_;
  nlohmann::json json_;
};

double room(const Machine& machine) { return machine.memory_bytes - kDriver; }

}  // namespace

Machine read_machine(const std::string& file) {
  const MachineFile json(file);
  Machine machine;
  machine.file = file;
  machine.name = json.name();
  machine.memory_bytes = json.number("gpu", "memory_bytes");
  machine.bf16_flops = json.number("gpu", "bf16_flops");
  machine.fp32_flops = json.number("gpu", "fp32_flops");
  machine.nvlink_bytes_per_second = json.number("gpu", "nvlink_bytes_per_second");
  machine.network_bytes_per_second = json.number("node", "network_bytes_per_second");
  machine.gpus = json.count("node", "gpus");
  machine.ranks = json.count("node", "ranks");
  if (machine.ranks > machine.gpus)
    json.refuse(fmt::format("node.ranks = {} is more than node.gpus = {}: each rank has a GPU of its own",
                            machine.ranks, machine.gpus));
  return machine;
}

std::string machine_text(const Machine& machine, const MachineNeed& need) {
  const int nodes = (need.ranks + machine.ranks - 1) / machine.ranks;
  std::string text = fmt::format("\nMachine    {}; ranks {}, up to {} a node: nodes {}\n", machine.name, need.ranks,
                                 machine.ranks, nodes);
  if (need.ranks % machine.ranks != 0 && nodes > 1)
    text += fmt::format("Warning    the last node has only {} ranks\n", need.ranks % machine.ranks);
  if (nodes > 1 && machine.ranks % need.tensor != 0)
    text += fmt::format(
        "Warning    grid.tensor = {} does not divide the {} ranks of a node: sums of every layer cross the network "
        "({:.0f} GB/s a node) instead of NVLink ({:.0f} GB/s a GPU)\n",
        need.tensor, machine.ranks, machine.network_bytes_per_second * 1e-9, machine.nvlink_bytes_per_second * 1e-9);
  text +=
      fmt::format("GPU memory {} of {} on the largest rank ({:.0f} %; {} of a GPU are left to driver and libraries)\n",
                  byte_text(static_cast<double>(need.bytes)), byte_text(room(machine)),
                  100 * static_cast<double>(need.bytes) / room(machine), byte_text(kDriver));
  if (need.flops <= 0) return text;
  const double rate = need.narrow ? machine.bf16_flops : machine.fp32_flops;
  const double seconds = need.flops / rate / (1 - need.bubble);
  return text + fmt::format(
                    "Floor      {:.3g} s a step, {} tokens/s at most: products at {}FLOP/s a GPU and the pipeline's "
                    "bubble; a floor, no prediction\n",
                    seconds, count_text(static_cast<double>(need.tokens) / seconds), count_text(rate));
}

std::string machine_problem(const Machine& machine, const MachineNeed& need) {
  if (static_cast<double>(need.bytes) <= room(machine)) return {};
  return fmt::format(
      "[device] machine = {}: the largest rank needs {} and a GPU has {}; more [grid] tensor or pipeline, a smaller "
      "[batch] micro, [batch] recompute = full or, in PPO, [ppo] park_models = yes need less",
      machine.file, byte_text(static_cast<double>(need.bytes)), byte_text(room(machine)));
}

}  // namespace coxswain
