// Schedules are made by playing a step through: every rank, when it is free, goes forward if the next micro-batch is
// there and the rank may hold one more, and else back. What it does is its list. Real executions of the lists respect
// the same dependencies, so no list can wait for itself, whatever the number of micro-batches.
//
// Micro-batches go through a rank's chunks in groups (Narayanan et al. 2021, section 2.2). Groups of exactly as many as
// there are stages give the published schedule, but a smaller last group would leave every stage idle while it comes
// round. So there are as many groups as fit, and they are as even as can be, never smaller than the pipeline: the
// bubble stays (P - 1) / (V m + P - 1) for every m >= P, for a few more micro-batches in flight.
#include "train/pipeline_schedule.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace coxswain {

namespace {

using Kind = PipelineTask::Kind;
constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kPlannedBackwardCost = 2.0;

struct Pipeline {
  int stages, virtual_stages, micro_batches;
  int tasks() const { return virtual_stages * micro_batches; }  // of one kind on a rank
};

// When every forward and backward of the step ends; kNever while it has not been done.
class Times {
 public:
  explicit Times(const Pipeline& pipeline) : pipeline_(pipeline) {
    const auto count = static_cast<std::size_t>(pipeline.stages) * static_cast<std::size_t>(pipeline.tasks());
    forward_.assign(count, kNever);
    backward_.assign(count, kNever);
  }
  double& of(int rank, const PipelineTask& task) {
    const auto index = (static_cast<std::size_t>(rank) * static_cast<std::size_t>(pipeline_.virtual_stages) +
                        static_cast<std::size_t>(task.chunk)) *
                           static_cast<std::size_t>(pipeline_.micro_batches) +
                       static_cast<std::size_t>(task.micro_batch);
    return (task.kind == Kind::forward ? forward_ : backward_)[index];
  }
  // When what the task needs is there.
  double ready(int rank, const PipelineTask& task) {
    const int last = pipeline_.stages - 1;
    if (task.kind == Kind::forward) {
      if (rank > 0) return of(rank - 1, task);
      if (task.chunk > 0) return of(last, {Kind::forward, task.micro_batch, task.chunk - 1});
      return 0;
    }
    double after = of(rank, {Kind::forward, task.micro_batch, task.chunk});
    if (rank < last)
      after = std::max(after, of(rank + 1, task));
    else if (task.chunk < pipeline_.virtual_stages - 1)
      after = std::max(after, of(0, {Kind::backward, task.micro_batch, task.chunk + 1}));
    return after;
  }

 private:
  Pipeline pipeline_;
  std::vector<double> forward_, backward_;
};

int groups_of(const Pipeline& pipeline) { return std::max(1, pipeline.micro_batches / pipeline.stages); }

// The order of one kind, the same on every rank: group by group, chunk by chunk, micro-batch by micro-batch.
std::vector<PipelineTask> order_of(Kind kind, const Pipeline& pipeline) {
  std::vector<PipelineTask> order;
  const int groups = groups_of(pipeline);
  for (int group = 0, first = 0, last = 0; group < groups; ++group, first = last) {
    last = first + pipeline.micro_batches / groups + (group < pipeline.micro_batches % groups ? 1 : 0);
    for (int turn = 0; turn < pipeline.virtual_stages; ++turn)
      for (int m = first; m < last; ++m)
        order.push_back({kind, m, kind == Kind::forward ? turn : pipeline.virtual_stages - 1 - turn});
  }
  return order;
}

struct Player {
  std::size_t forwards = 0, backwards = 0, most_in_flight = 0;
  double free_at = 0;
  std::vector<PipelineTask> list;
};

// Forwards that a rank may hold: what it needs to reach its first backward without a pause.
std::size_t in_flight_limit(const Pipeline& pipeline, int rank) {
  const int behind = pipeline.stages - 1 - rank;
  if (pipeline.virtual_stages == 1) return static_cast<std::size_t>(behind + 1);
  const int groups = groups_of(pipeline);
  const int largest_group = (pipeline.micro_batches + groups - 1) / groups;
  return static_cast<std::size_t>((pipeline.virtual_stages - 1) * largest_group + 2 * behind + 1);
}

std::vector<std::vector<PipelineTask>> all_schedules(const Pipeline& pipeline) {
  if (pipeline.stages < 1 || pipeline.virtual_stages < 1 || pipeline.micro_batches < 1)
    throw std::invalid_argument("a pipeline needs stages, chunks and micro-batches");
  const auto forwards = order_of(Kind::forward, pipeline);
  const auto backwards = order_of(Kind::backward, pipeline);
  Times times(pipeline);
  std::vector<Player> players(static_cast<std::size_t>(pipeline.stages));
  for (int r = 0; r < pipeline.stages; ++r)
    players[static_cast<std::size_t>(r)].most_in_flight = in_flight_limit(pipeline, r);

  for (std::size_t left = 2 * forwards.size() * players.size(); left > 0; --left) {
    // The task that starts first in all the pipeline is next.
    double earliest = kNever;
    int chosen_rank = 0;
    PipelineTask chosen;
    for (int r = 0; r < pipeline.stages; ++r) {
      const Player& player = players[static_cast<std::size_t>(r)];
      const auto consider = [&](const PipelineTask& task) {
        const double start = std::max(player.free_at, times.ready(r, task));
        if (start >= earliest) return;
        earliest = start;
        chosen_rank = r;
        chosen = task;
      };
      if (player.forwards < forwards.size() && player.forwards - player.backwards < player.most_in_flight)
        consider(forwards[player.forwards]);
      if (player.backwards < player.forwards) consider(backwards[player.backwards]);
    }
    if (earliest == kNever) throw std::logic_error("the pipeline's schedule waits for itself");
    Player& player = players[static_cast<std::size_t>(chosen_rank)];
    const bool is_forward = chosen.kind == Kind::forward;
    player.free_at = times.of(chosen_rank, chosen) = earliest + (is_forward ? 1.0 : kPlannedBackwardCost);
    ++(is_forward ? player.forwards : player.backwards);
    player.list.push_back(chosen);
  }
  std::vector<std::vector<PipelineTask>> lists;
  for (Player& player : players) lists.push_back(std::move(player.list));
  return lists;
}

// Each task once, and within a chunk both kinds in the order of micro-batches.
void check_list(const std::vector<PipelineTask>& list, const Pipeline& pipeline) {
  std::vector<int> next[2];
  for (auto& chunks : next) chunks.assign(static_cast<std::size_t>(pipeline.virtual_stages), 0);
  for (const PipelineTask& task : list) {
    if (task.chunk < 0 || task.chunk >= pipeline.virtual_stages || task.micro_batch >= pipeline.micro_batches ||
        task.micro_batch != next[task.kind == Kind::backward][static_cast<std::size_t>(task.chunk)]++)
      throw std::logic_error("a task of the pipeline's schedule is missing, doubled, or out of order");
  }
  if (list.size() != 2 * static_cast<std::size_t>(pipeline.tasks()))
    throw std::logic_error("the pipeline's schedule has not every task");
}

}  // namespace

std::vector<PipelineTask> pipeline_schedule(int stages, int rank, int virtual_stages, int micro_batches) {
  if (rank < 0 || rank >= stages) throw std::invalid_argument("a pipeline's rank lies within its stages");
  return all_schedules({stages, virtual_stages, micro_batches})[static_cast<std::size_t>(rank)];
}

ScheduleReport simulate_schedule(int stages, int virtual_stages, int micro_batches, double backward_cost) {
  return simulate_schedule(all_schedules({stages, virtual_stages, micro_batches}), virtual_stages, micro_batches,
                           backward_cost);
}

ScheduleReport simulate_schedule(const std::vector<std::vector<PipelineTask>>& lists, int virtual_stages,
                                 int micro_batches, double backward_cost) {
  const Pipeline pipeline{static_cast<int>(lists.size()), virtual_stages, micro_batches};
  for (const auto& list : lists) check_list(list, pipeline);
  Times times(pipeline);
  std::vector<std::size_t> done(lists.size(), 0);
  std::vector<double> free_at(lists.size(), 0.0);
  std::vector<int> in_flight(lists.size(), 0);
  ScheduleReport report;
  report.peak_in_flight.assign(lists.size(), 0);
  // A rank waits for what its next task needs, as in a blocking receive, while the others go on.
  for (bool moved = true; moved;) {
    moved = false;
    for (std::size_t r = 0; r < lists.size(); ++r) {
      for (; done[r] < lists[r].size(); ++done[r], moved = true) {
        const PipelineTask& task = lists[r][done[r]];
        const double ready = times.ready(static_cast<int>(r), task);
        if (ready == kNever) break;
        const bool is_forward = task.kind == Kind::forward;
        free_at[r] = std::max(free_at[r], ready) + (is_forward ? 1.0 : backward_cost);
        times.of(static_cast<int>(r), task) = free_at[r];
        in_flight[r] += is_forward ? 1 : -1;
        report.peak_in_flight[r] = std::max(report.peak_in_flight[r], in_flight[r]);
      }
    }
  }
  for (std::size_t r = 0; r < lists.size(); ++r)
    if (done[r] < lists[r].size()) throw std::logic_error("the pipeline's schedule waits for itself");
  const double span = *std::max_element(free_at.begin(), free_at.end());
  report.bubble = 1.0 - pipeline.tasks() * (1.0 + backward_cost) / span;
  return report;
}

}  // namespace coxswain
