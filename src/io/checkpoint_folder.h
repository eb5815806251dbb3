// The folder of checkpoints: step_00000120 for each, `latest` with the newest one's name, step_00000120.tmp while one
// is being written. What the folder lists is the truth; `latest` is for people and scripts.
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

  // The durable end of a save: the folder temporary(step), whose files have been synced, becomes step_N.
  void commit(std::int64_t step) const;
  void point_latest(std::int64_t step) const;
  // Removes all but the newest `keep` ones up to `step`. Those known to be damaged do not count, and go.
  void prune(std::int64_t step, int keep, const std::set<std::int64_t>& damaged) const;

 private:
  std::string path_;
};

}  // namespace coxswain
