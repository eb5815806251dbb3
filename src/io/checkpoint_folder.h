// The folder of checkpoints: step_00000120 for each, `latest` with the newest one's name, step_00000120.tmp while one
// is being written. What the folder lists is the truth; `latest` is for people and scripts. Where a phase judges its
// weights, `best` has the name of the best: what the newest checkpoint says, so that it can be written anew at any
// time.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace coxswain {

std::string step_name(std::int64_t step);  // step_00000120

class CheckpointFolder {
 public:
  explicit CheckpointFolder(std::string path) : path_(std::move(path)) {}
  const std::string& path() const { return path_; }
  std::string of_step(std::int64_t step) const { return path_ + '/' + step_name(step); }
  std::string temporary(std::int64_t step) const { return of_step(step) + ".tmp"; }

  std::vector<std::int64_t> steps() const;     // newest first; empty if there is no folder
  std::vector<std::string> leftovers() const;  // of saves that were cut off
  std::string latest() const;                  // what `latest` says; empty if it is missing
  std::int64_t best() const;                   // what `best` says; 0 if it is missing or says nothing
  std::vector<std::int64_t> by_merit() const;  // the best one, then the newest ones

  // The durable end of a save: the folder temporary(step), whose files have been synced, becomes step_N.
  void commit(std::int64_t step) const;
  void point_latest(std::int64_t step) const;
  void point_best(std::int64_t step) const;  // 0: removes `best`
  struct Kept {
    int newest = 0;         // how many of the newest ones; 0: all
    std::int64_t best = 0;  // this one too
  };
  // Removes all up to `step` that are not kept. Those known to be damaged do not count, and go.
  void prune(std::int64_t step, const Kept& kept, const std::set<std::int64_t>& damaged) const;

 private:
  std::string path_;
};

}  // namespace coxswain
