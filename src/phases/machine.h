// A node of a cluster as inputs/machines/*.json describes it, and what a plan means there: whether a rank's memory fits
// into a GPU, how many nodes there must be, and the least time of a step. For --check.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace coxswain {

struct MachineConfig {  // section [device]
  std::string file;     // empty: none
};

struct Machine {
  std::string file, name;
  double memory_bytes = 0;  // of a GPU
  double bf16_flops = 0, fp32_flops = 0;
  double nvlink_bytes_per_second = 0;   // of a GPU, both ways together
  double network_bytes_per_second = 0;  // of a node, one way
  int gpus = 0, ranks = 0;              // of a node; one GPU a rank
};

// Throws Error(data) that names file, key and value.
Machine read_machine(const std::string& file);

// What a plan asks of a machine.
struct MachineNeed {
  std::size_t bytes = 0;      // of a GPU, on the largest rank
  int ranks = 0, tensor = 1;  // of the grid; the larger one's, where there are two
  bool narrow = false;        // BF16 products
  double flops = 0;           // of a step on the busiest rank; 0: not known
  double bubble = 0;          // share of a step that its pipeline idles
  std::int64_t tokens = 0;    // of a step
};

// Lines for the report. A floor is no prediction: it leaves out memory, communication, and all but products.
std::string machine_text(const Machine& machine, const MachineNeed& need);
// Why the plan cannot run there and what helps; empty if it fits.
std::string machine_problem(const Machine& machine, const MachineNeed& need);

}  // namespace coxswain
