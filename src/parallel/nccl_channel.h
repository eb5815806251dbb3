// One NCCL communicator and the stream that its operations go through, one after the other.
#pragma once

#include <cuda_runtime.h>
#include <nccl.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/cuda/cuda_backend.h"
#include "parallel/communicator.h"
#include "parallel/nccl_watch.h"

namespace coxswain {

// Throws Error that names the call and the operation unless the call went well.
void check_nccl(ncclResult_t result, const char* call, const char* name, ncclComm_t communicator = nullptr);

class CudaEvent {
 public:
  CudaEvent();
  CudaEvent(CudaEvent&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  CudaEvent& operator=(CudaEvent&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  ~CudaEvent();
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

class NcclChannel final : public Watched {
 public:
  struct Place {
    ncclUniqueId identity;  // the same on all ranks of the channel
    int rank = 0, size = 1;
  };
  // Collective over the ranks of the channel. `name` is what begins here.
  NcclChannel(NcclWatch& watch, const CudaBackend& backend, const Place& place, const char* name);
  NcclChannel(const NcclChannel&) = delete;
  NcclChannel& operator=(const NcclChannel&) = delete;
  ~NcclChannel() override;

  // Calls of NCCL that make one operation; they begin when what the backend was asked for before is done.
  using Operation = std::function<ncclResult_t(ncclComm_t communicator, cudaStream_t stream)>;
  Request run(const char* name, const Operation& operation);
  // The same, asked for when it is waited for: by then the host may have asked the backend for much else, beside which
  // the operation goes on. (Under way already, it would keep cudaFree waiting, and whoever it waits for may come
  // later.)
  Request run_when_awaited(const char* name, Operation operation);

  std::optional<std::string> problem(WatchClock::time_point now, std::chrono::duration<double> limit) override;

 private:
  class UnderWay;
  class Expected;
  struct Flight {
    std::string name;
    CudaEvent done;
    WatchClock::time_point since;
  };
  Request run_after(const CudaEvent& ready, const char* name, const Operation& operation);
  void join(std::uint64_t ticket);  // what the backend is asked for from now on begins when the operation is done
  void forget_finished(WatchClock::time_point now);
  CudaEvent take_event();

  NcclWatch& watch_;
  const std::string name_;
  const CudaBackend& backend_;
  cudaStream_t stream_ = nullptr;
  ncclComm_t communicator_ = nullptr;
  CudaEvent ready_;             // the backend's work before the newest operation
  std::deque<Flight> flights_;  // oldest first; of tickets from landed_ on. Under the watch's lock, as what follows
  std::uint64_t landed_ = 0;
  std::vector<CudaEvent> idle_;
};

}  // namespace coxswain
