// SIGUSR1, SIGUSR2, SIGTERM and SIGINT ask a run to save and stop. They are held back in every thread and fetched by
// the driver between two steps: no handler ever runs. MPI could not be called from one, and a handler's frame on the
// stack of a thread inside oneDNN 2.6.3's FP32 products was measured to corrupt memory (a signal a millisecond: an
// abort within seconds).
#pragma once

#include <csignal>
#include <string>

namespace coxswain {

class StopSignal {
 public:
  // Holds the signals back in this thread and in all that it starts later: before main starts any.
  static void hold();

  StopSignal();   // holds, too; signals that came before count
  ~StopSignal();  // forgets what came, and puts this thread's former mask back
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  int pending();                        // the first signal that was fetched, 0: none
  int count() const { return count_; }  // how many were fetched

  static std::string name(int signal);  // "SIGUSR1"

 private:
  sigset_t former_;
  int first_ = 0, count_ = 0;
};

}  // namespace coxswain
