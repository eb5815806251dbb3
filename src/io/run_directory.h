// A run's directory, owned by one job at a time.
//
// The file `lock` names the owner (host, process, job). Rank 0 takes it alone, then every rank shares it: a job may own
// the directory only when no rank of another one is alive, ranks that outlived a killed rank 0 included. The kernel
// gives the lock back when a process ends, so that a kill leaves none behind.
#pragma once

#include <string>

#include "parallel/communicator.h"

namespace coxswain {

class RunDirectory {
 public:
  // Collective. Creates the directory. Another job in it: Error(usage) that names that job; not writable:
  // Error(input_output).
  RunDirectory(const std::string& path, Communicator& world);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + '/' + name; }
  std::string checkpoints() const { return file("checkpoints"); }
  // Collective. Rank 0 replaces deck.ini as a whole.
  void write_deck(const std::string& text);

 private:
  void own();    // rank 0
  void share();  // every rank
  std::string path_;
  Communicator& world_;
  int lock_ = -1;
  bool unlockable_ = false;  // the file system has no locks
};

}  // namespace coxswain
