// A run's checkpoints as the driver wants them: whether the deck fits the one that they were made with is asked before
// anything is loaded, and its allowed changes are printed.
#pragma once

#include <string>

#include "base/log.h"
#include "io/checkpoint_store.h"
#include "parallel/process_grid.h"
#include "phases/driver.h"

namespace coxswain {

class RunCheckpoints final : public Checkpoints {
 public:
  RunCheckpoints(const ProcessGrid& grid, Backend& backend, const std::string& path, const CheckpointConfig& config,
                 std::string deck, Log& log);

  // Throws Error(usage) where the deck would make another run.
  std::optional<std::int64_t> restore(const Visit& visit) override;
  bool reaches(std::int64_t step) override;
  void save(const Place& place, const std::string& deck, const Visit& visit) override;
  void poll() override;
  void wait() override;
  void prune(std::int64_t before) override { store_.prune(before); }
  bool busy() const override { return store_.saving(); }
  std::string newest() const override { return store_.newest(); }
  std::string newest_before(std::int64_t step) override { return store_.newest_before(step); }

 private:
  void check_deck(const std::string& before) const;  // the deck of a checkpoint; prints what has changed
  void note();                                       // size and times of the save that was committed, for log.txt

  Communicator* world_;
  std::string path_, deck_, grid_;
  Log* log_;
  CheckpointStore store_;
};

}  // namespace coxswain
