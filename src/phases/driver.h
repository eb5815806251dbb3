// The loop around a phase: resume, step, log, save, stop in time. It knows no loss, and the phase knows no clock.
//
// All decisions are agreed on by all ranks once a step, in one all_max: a signal on any rank, the wall-clock limit and
// failures of the first rank, which alone writes the run directory's text files.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "io/config.h"
#include "parallel/communicator.h"
#include "phases/config.h"
#include "phases/console.h"
#include "phases/phase.h"
#include "phases/run_record.h"
#include "phases/stop_signal.h"
#include "phases/wall_clock.h"

namespace coxswain {

// What the driver asks of the checkpoints of a run. Every call is collective.
class Checkpoints {
 public:
  using Visit = std::function<void(Archive&)>;
  virtual ~Checkpoints() = default;
  // The step of the newest whole checkpoint, which is read; nothing if the run has none at all. Throws
  // Error(no_checkpoint) if it has some and none is whole.
  virtual std::optional<std::int64_t> restore(const Visit& visit) = 0;
  // Whether the newest one is there, of this step at least, as far as a look at names, sizes and its manifest shows.
  // Throws Error(usage), as restore() does, where the deck would make another run.
  virtual bool reaches(std::int64_t step) = 0;
  struct Place {
    std::int64_t step = 0;
    std::int64_t best = 0;    // step whose checkpoint must stay; 0: none
    std::int64_t tokens = 0;  // of all steps so far
  };
  virtual void save(const Place& place, const std::string& deck, const Visit& visit) = 0;  // returns when copied
  virtual void poll() = 0;  // commits what was written meanwhile; throws if that failed
  virtual void wait() = 0;  // until all is committed, and what prune() takes away is gone
  // Those that the deck does not keep go, if the newest is of a step before this one.
  virtual void prune(std::int64_t before) = 0;
  virtual bool busy() const = 0;           // something is being written; the same on every rank after poll()
  virtual std::string newest() const = 0;  // the folder of the newest committed one, "" if none
  virtual std::string newest_before(std::int64_t step) = 0;  // of those of earlier steps
};

struct DriverOptions {
  RunConfig run;
  CheckpointConfig checkpoint;  // none are written, at a stop neither, if `every` is 0 and `at_end` false
  std::int64_t max_skips = 0;   // steps in a row that may not be finite, and are then not saved
  std::string deck;             // the effective one
  std::string session;          // "4 ranks x 8 threads, tensor 2 x pipeline 2 x data 1, on node[01-02]"
  std::vector<std::pair<std::string, std::string>> facts;  // rows of the report: version, model, ...
  WallClock::Now now = seconds_since_start;
  double gemm_flops_rate = 0;  // of all ranks together, measured; 0: unknown, no share is shown
};

class Driver {
 public:
  // checkpoints: null where the deck wants none.
  Driver(DriverOptions options, Communicator& world, Log& log, Checkpoints* checkpoints);

  // Returns 0 (finished), 75 (saved and stopped) or 66 (stopped, and nothing could be saved). Throws on failure:
  // Error(diverged) names the last good checkpoint.
  int run(Phase& phase);

 private:
  bool already_finished(const Phase& phase);
  void resume(Phase& phase);
  void step(Phase& phase);
  std::int64_t agreed_reason();
  void save(Phase& phase);
  void prune(const Phase& phase, std::int64_t before);
  std::string way_back(std::int64_t bad);
  void finish_saving();
  int stop(Phase& phase, std::int64_t reason);
  [[noreturn]] void refuse_short_limit() const;
  bool due(const Phase& phase) const;  // a checkpoint, after this step
  void conclude(Phase& phase);
  [[noreturn]] void diverge(const Phase& phase, std::int64_t step, const std::string& what, std::int64_t bad);
  int finish(Phase& phase);
  void note(Phase& phase, const StepReport& report, double seconds);

  bool first_rank() const { return world_->rank() == 0; }
  // Runs the work on the first rank; if it fails there, every rank throws the same Error.
  void on_first_rank(const char* name, const std::function<void()>& work);
  void keep_failure(const std::function<void()>& work);  // now; all ranks learn of it in agreed_reason()
  Checkpoints::Visit visitor(Phase& phase);

  DriverOptions options_;
  Communicator* world_;
  Log* log_;
  Checkpoints* checkpoints_;
  StopSignal signals_;
  WallClock clock_;
  std::unique_ptr<RunRecord> record_;  // first rank only
  std::unique_ptr<Console> console_;   // first rank only
  std::optional<std::int64_t> saved_step_;
  std::optional<double> saving_since_;
  std::int64_t tokens_ = 0;  // of all steps so far
  int failure_code_ = 0;     // first rank only
  std::string failure_;
};

}  // namespace coxswain
