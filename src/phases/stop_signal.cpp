#include "phases/stop_signal.h"

#include <fmt/format.h>

#include <atomic>

namespace coxswain {

namespace {

std::atomic<int> first_signal{0};
std::atomic<int> signal_count{0};
static_assert(std::atomic<int>::is_always_lock_free, "a handler may only touch atomics without locks");

void note_signal(int signal) {
  int none = 0;
  first_signal.compare_exchange_strong(none, signal);
  signal_count.fetch_add(1);
}

}  // namespace

StopSignal::StopSignal() {
  first_signal = 0;
  signal_count = 0;
  struct sigaction action {};
  action.sa_handler = note_signal;
  action.sa_flags = SA_RESTART;  // a write under way goes on
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGUSR1, SIGUSR2, SIGTERM, SIGINT}) {
    struct sigaction former {};
    if (sigaction(signal, &action, &former) == 0) former_.emplace_back(signal, former);
  }
}

StopSignal::~StopSignal() {
  for (const auto& [signal, former] : former_) sigaction(signal, &former, nullptr);
}

int StopSignal::pending() const { return first_signal; }
int StopSignal::count() const { return signal_count; }

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
