// Which micro-batch goes forward or back next, as data: run by the trainer, simulated by the planner and by tests.
#pragma once

#include <string>
#include <vector>

namespace coxswain {

struct PipelineTask {
  enum class Kind { forward, backward } kind = Kind::forward;
  int micro_batch = 0;
  int chunk = 0;  // virtual stage on this rank: model chunk = chunk * stages + rank
  friend bool operator==(const PipelineTask&, const PipelineTask&) = default;
};

// One rank's list for a step. Within a chunk, both forwards and backwards come in the order of micro-batches.
// virtual_stages = 1: 1F1B (Narayanan et al. 2021, figure 4 top); more: interleaved (bottom), any number of
// micro-batches. All ranks have the same order of forwards, and the same order of backwards: messages of one kind
// between two ranks match in order. Playing the schedule takes a moment for thousands of tasks: make the list once.
std::vector<PipelineTask> pipeline_schedule(int stages, int rank, int virtual_stages, int micro_batches);

struct ScheduleReport {
  double bubble = 0;                // idle share of a step: idle / (idle + work)
  std::vector<int> peak_in_flight;  // per rank: largest number of forwards (chunk, micro-batch) not yet gone back
};
// Runs every rank's list with unit forward cost and `backward_cost`, respecting dependencies and blocking receives.
// Throws std::logic_error on a deadlock or a task that is missing or doubled.
ScheduleReport simulate_schedule(int stages, int virtual_stages, int micro_batches, double backward_cost = 2.0);
// The same for given lists, one a rank.
ScheduleReport simulate_schedule(const std::vector<std::vector<PipelineTask>>& lists, int virtual_stages,
                                 int micro_batches, double backward_cost = 2.0);

}  // namespace coxswain
