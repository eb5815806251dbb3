// The checkpoints of one run: saves, keeps the newest and the best, and finds the newest whole one again.
//
// save() returns at once: the state is copied to the host beside the next step, whose update waits for it
// (Backend::download_aside). A thread of each rank follows and writes its part (no MPI there); poll(), called every
// step, lets the ranks agree. When all parts are on the disk, rank 0 writes checkpoint.h5 and the manifest in its
// thread and commits by rename. Without [checkpoint] background save() returns when it
// is committed. Whatever fails on any rank, every rank throws the same Error(input_output), the unfinished folder is
// removed and the checkpoints before it stay. Collective over the world: everything but the accessors.
#pragma once

#include <chrono>
#include <optional>
#include <set>
#include <string>

#include "io/background_task.h"
#include "io/checkpoint_folder.h"
#include "io/checkpoint_reader.h"
#include "io/config.h"
#include "io/part.h"

namespace coxswain {

using Say = std::function<void(const std::string& line)>;  // called on rank 0

// Of the last save that was committed.
struct SaveTimes {
  std::int64_t step = -1;
  std::int64_t bytes = 0;    // of this rank's pieces
  double stall_seconds = 0;  // what training waited for
  double write_seconds = 0;  // from save() until the commit was seen
};

class CheckpointStore {
 public:
  // `path` is the folder of all checkpoints; it need not exist. Lines go to standard error unless set otherwise.
  CheckpointStore(Communicator& world, Backend& backend, const std::string& path, const CheckpointConfig& config);
  ~CheckpointStore();  // waits for the threads; an unfinished save is left to the next start to remove
  CheckpointStore(const CheckpointStore&) = delete;
  CheckpointStore& operator=(const CheckpointStore&) = delete;
  void set_say(Say say) { say_ = std::move(say); }
  void set_stage_hook(StageHook hook) { at_stage_ = std::move(hook); }  // called in the threads too

  // Takes the memory for copies now (as many bytes as the state has on this rank), so that the first save does not wait
  // for it. May be left out. Not collective.
  void prepare(const Visit& visit) { snapshot_.prepare(visit); }
  // Finishes a save under way first.
  void save(const CheckpointHeader& header, const Visit& visit);
  bool poll();  // true once a save has been committed
  void wait();  // until there is none under way, and old ones are removed
  // The weights of the steps before this one have shown to be good: if the newest checkpoint is of one of them, those
  // that `keep` and the best leave over are removed, in a thread; else they stay, to go back to. Not collective.
  void prune(std::int64_t before);
  bool saving() const { return stage_ != Stage::idle; }
  const SaveTimes& last_save() const { return times_; }
  // The folder of the newest checkpoint that this run committed or read; empty if there is none.
  const std::string& newest() const { return newest_; }
  std::string newest_before(std::int64_t step);  // that is not known to be damaged; empty if there is none

  // The newest whole checkpoint; nothing if there never was one. Each damaged one is named with what is wrong. If there
  // are some and none is whole: Error(no_checkpoint). Removes what unfinished saves left behind.
  std::optional<CheckpointReader> open_newest();
  // The same, and loads it. Returns what the checkpoint says of its run.
  std::optional<CheckpointHeader> restore(const Visit& visit);

 private:
  enum class Stage { idle, writing, committing };
  struct Newest {
    std::int64_t step = 0, best = 0;
  };
  using Clock = std::chrono::steady_clock;
  void start_writing(const std::string& temporary);
  void finish_save();
  std::string commit(const std::vector<std::string>& parts);
  void tell_of_removal();
  void fail(const std::string& outcome);
  void say(const std::string& line) const;

  Communicator& world_;
  Backend& backend_;
  CheckpointFolder folder_;
  CheckpointConfig config_;
  Say say_;
  StageHook at_stage_;
  Snapshot snapshot_;
  CheckpointHeader header_;
  Stage stage_ = Stage::idle;
  BackgroundTask task_, removal_;
  std::optional<Newest> unpruned_;  // was committed or read, and old ones are still beside it
  std::set<std::int64_t> damaged_;  // steps that open_newest() passed over
  Clock::time_point started_;
  double save_seconds_ = 0, waited_before_ = 0;  // of save(); of the backend for downloads, before it
  SaveTimes times_;
  std::string newest_;
};

// A checkpoint of any run, to take weights from: step_N itself, a folder of checkpoints, or a run directory. Of
// several, the best one where the run has named one, or else the newest whole one. Error(data) if there is none. `say`
// is told of damaged ones.
CheckpointReader open_checkpoint(Communicator& world, Backend& backend, const std::string& path, const Say& say);

// What the newest one of a folder of checkpoints says of its run, if all of its files are there in their sizes; their
// bytes are not read. Not collective.
std::optional<CheckpointHeader> glance_at_newest(const std::string& folder);

// The manifest of the folder step_N that such a path means (where it has one). Not collective.
Manifest checkpoint_info(const std::string& path);

}  // namespace coxswain
