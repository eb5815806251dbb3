// A thread that looks after NCCL's operations, since the host waits for none of them: the first that ends with an error
// or does not end in time ends the job.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>

namespace coxswain {

using WatchClock = std::chrono::steady_clock;

// What has operations under way. Called by the thread, which holds the watch's lock.
class Watched {
 public:
  virtual ~Watched() = default;
  virtual std::optional<std::string> problem(WatchClock::time_point now, std::chrono::duration<double> limit) = 0;
};

class NcclWatch {
 public:
  // `end` must not return.
  NcclWatch(int device, double limit_seconds, std::function<void(const std::string& message)> end);
  NcclWatch(const NcclWatch&) = delete;
  NcclWatch& operator=(const NcclWatch&) = delete;
  ~NcclWatch();

  std::unique_lock<std::mutex> lock() { return std::unique_lock(mutex_); }
  void add(Watched& watched);
  void remove(Watched& watched);

  // While one lives, the host waits for the other ranks in a call of NCCL: it may take as long as an operation.
  class Waiting {
   public:
    Waiting(NcclWatch& watch, const std::string& name);
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    ~Waiting();

   private:
    NcclWatch& watch_;
  };

 private:
  void look_after(int device);
  std::optional<std::string> problem() const;

  const std::chrono::duration<double> limit_;
  const std::function<void(const std::string&)> end_;
  std::mutex mutex_;  // of all that follows
  std::condition_variable wake_;
  bool ends_ = false;
  std::set<Watched*> watched_;
  std::string waiting_;  // name of the call that the host waits in, or empty
  WatchClock::time_point waiting_since_;
  std::thread thread_;
};

// "'NAME' has not ended for 600 s: ..."
std::string late_text(const std::string& name, std::chrono::duration<double> limit);

}  // namespace coxswain
