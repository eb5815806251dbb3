// SIGUSR1, SIGUSR2, SIGTERM and SIGINT ask a run to save and stop. The handler sets a flag and nothing else: MPI is not
// safe to call from it. The driver looks at the flag between two steps.
#pragma once

#include <csignal>
#include <string>
#include <vector>

namespace coxswain {

class StopSignal {
 public:
  StopSignal();   // installs the handlers and forgets earlier signals
  ~StopSignal();  // puts the former handlers back
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  int pending() const;  // the first signal that came, 0: none
  int count() const;    // how many came

  static std::string name(int signal);  // "SIGUSR1"

 private:
  std::vector<std::pair<int, struct sigaction>> former_;
};

}  // namespace coxswain
