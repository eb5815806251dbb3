#include "phases/stop_signal.h"

#include <fmt/format.h>

#include <ctime>

namespace coxswain {

namespace {

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGUSR1, SIGUSR2, SIGTERM, SIGINT}) sigaddset(&set, signal);
  return set;
}

}  // namespace

void StopSignal::hold() {
  const sigset_t set = stop_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

StopSignal::StopSignal() {
  const sigset_t set = stop_signals();
  pthread_sigmask(SIG_BLOCK, &set, &former_);
}

StopSignal::~StopSignal() {
  pending();
  pthread_sigmask(SIG_SETMASK, &former_, nullptr);
}

int StopSignal::pending() {
  const sigset_t set = stop_signals();
  constexpr timespec kNow{0, 0};
  for (int signal = sigtimedwait(&set, nullptr, &kNow); signal > 0; signal = sigtimedwait(&set, nullptr, &kNow)) {
    if (first_ == 0) first_ = signal;
    ++count_;
  }
  return first_;
}

std::string StopSignal::name(int signal) {
  switch (signal) {
    case SIGUSR1:
      return "SIGUSR1";
    case SIGUSR2:
      return "SIGUSR2";
    case SIGTERM:
      return "SIGTERM";
    case SIGINT:
      return "SIGINT";
    default:
      return fmt::format("signal {}", signal);
  }
}

}  // namespace coxswain
