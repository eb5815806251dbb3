// What one step of a phase is. The Driver owns the loop around it: time, log, stop, save.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tensor/archive.h"

namespace coxswain {

struct StepReport {
  // Goes to metrics.jsonl in this order: only numbers that Law 1 fixes, the same on every rank and every grid.
  std::vector<std::pair<std::string, double>> metrics;
  std::int64_t tokens = 0;  // processed in this step, for tokens/s
  double flops = 0;         // of this step over all ranks, for the share of the GEMM rate
  std::string note;         // shown on the console line, if any
};

class Phase {
 public:
  virtual ~Phase() = default;
  virtual std::string name() const = 0;
  virtual std::int64_t step() const = 0;  // steps finished so far
  virtual std::int64_t total_steps() const = 0;
  // Models of other runs; both are collective. Those that it looks at, on every start; then, where there is no
  // checkpoint to go on from, the weights that the run begins with. A restart does without these.
  virtual void load_frozen() {}
  virtual void begin() {}
  virtual StepReport run_step() = 0;  // collective; may throw Error(diverged)
  // Steps in a row, up to now, that have not moved the weights because their numbers were not finite: whether the
  // weights are good is in doubt until one does. Part of the state, so that a restart saves where this run does.
  virtual std::int64_t skipped_in_a_row() const { return 0; }
  virtual std::int64_t best_step() const { return 0; }  // whose weights were the best so far; 0: they are not judged
  virtual bool has_curves() const { return true; }  // false: each step is a task of its own, told by its report's note
  virtual bool has_state() const { return true; }   // false: nothing to checkpoint (tokenize, benchmark)
  // Without a state to checkpoint: whether the next start goes on from what is written already.
  virtual bool keeps_output() const { return false; }
  virtual std::int64_t kept_tokens() const { return 0; }  // of the steps that an earlier start has written
  virtual void visit(Archive& archive) = 0;               // all of the run's state
  // After the last step and before its save; both are collective. Whether the weights of the last update, of which no
  // step will tell, give finite numbers. Then what the result has beside its steps: true if that changed the state;
  // Error(data) if it cannot be had from the user's files, with the state as the steps left it.
  virtual bool sound() { return true; }
  virtual bool conclude() { return false; }
  virtual void finish() {}                            // after that save: output files; collective
  virtual std::string summary() const { return {}; }  // after finish(): what a user wants to see on the console
  virtual std::string report() const { return {}; }   // after finish(): sections of report.html
};

}  // namespace coxswain
