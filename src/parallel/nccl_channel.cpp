#include "parallel/nccl_channel.h"

#include <fmt/format.h>

#include <exception>
#include <utility>

#include "base/error.h"
#include "kernels/cuda/runtime.h"

namespace coxswain {

void check_nccl(ncclResult_t result, const char* call, const char* name, ncclComm_t communicator) {
  if (result == ncclSuccess) return;
  const char* const more = ncclGetLastError(communicator);
  throw Error(result == ncclRemoteError ? ExitCode::hang : ExitCode::internal,
              fmt::format("NCCL: {} failed in '{}': {}{}{}; NCCL_DEBUG=INFO makes it say more", call, name,
                          ncclGetErrorString(result), more && *more ? ": " : "", more ? more : ""))
      .on_this_rank();
}

CudaEvent::CudaEvent() {
  check_cuda(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreateWithFlags");
}
CudaEvent::~CudaEvent() {
  if (event_ != nullptr) cudaEventDestroy(event_);
}

// An operation that the backend has not been told to wait for.
class NcclChannel::UnderWay final : public Request::State {
 public:
  UnderWay(NcclChannel& channel, std::uint64_t ticket)
      : channel_(channel), ticket_(ticket), exceptions_(std::uncaught_exceptions()) {}
  ~UnderWay() override {
    if (waited_ || std::uncaught_exceptions() > exceptions_) return;
    try {
      wait();
    } catch (...) {  // a lost device: the next call says so
    }
  }
  bool ready() override { return true; }  // the host does not wait
  void wait() override {
    waited_ = true;
    channel_.join(ticket_);
  }

 private:
  NcclChannel& channel_;
  std::uint64_t ticket_;
  int exceptions_;
  bool waited_ = false;
};

// An operation that NCCL has not been told of, and since when its memory is free.
class NcclChannel::Expected final : public Request::State {
 public:
  Expected(NcclChannel& channel, std::string name, Operation operation)
      : channel_(channel),
        name_(std::move(name)),
        operation_(std::move(operation)),
        exceptions_(std::uncaught_exceptions()) {
    check_cuda(cudaEventRecord(ready_.get(), channel_.backend_.stream()), "cudaEventRecord");
  }
  ~Expected() override {
    if (std::uncaught_exceptions() > exceptions_) return;
    try {
      wait();
    } catch (...) {  // see UnderWay
    }
  }
  bool ready() override { return true; }
  void wait() override {
    if (!operation_) return;
    channel_.run_after(ready_, name_.c_str(), std::exchange(operation_, nullptr)).wait();
  }

 private:
  NcclChannel& channel_;
  std::string name_;  // outlives the caller's
  Operation operation_;
  CudaEvent ready_;
  int exceptions_;
};

NcclChannel::NcclChannel(NcclWatch& watch, const CudaBackend& backend, const Place& place, const char* name)
    : watch_(watch), name_(name), backend_(backend) {
  check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  {
    const NcclWatch::Waiting waiting(watch_, name_);
    check_nccl(ncclCommInitRank(&communicator_, place.size, place.identity, place.rank), "ncclCommInitRank", name);
  }
  watch_.add(*this);
}

NcclChannel::~NcclChannel() {
  // Ending is collective, and an operation may never end; a rank that unwinds an exception is alone.
  const bool alone = std::uncaught_exceptions() > 0;
  if (!alone) cudaStreamSynchronize(stream_);
  watch_.remove(*this);
  if (alone)
    ncclCommAbort(communicator_);
  else
    ncclCommDestroy(communicator_);
  cudaStreamDestroy(stream_);
}

Request NcclChannel::run(const char* name, const Operation& operation) {
  check_cuda(cudaEventRecord(ready_.get(), backend_.stream()), "cudaEventRecord");
  return run_after(ready_, name, operation);
}

Request NcclChannel::run_when_awaited(const char* name, Operation operation) {
  return Request(std::make_unique<Expected>(*this, name, std::move(operation)));
}

Request NcclChannel::run_after(const CudaEvent& ready, const char* name, const Operation& operation) {
  check_cuda(cudaStreamWaitEvent(stream_, ready.get(), 0), "cudaStreamWaitEvent");
  check_nccl(ncclGroupStart(), "ncclGroupStart", name);
  const ncclResult_t asked = operation(communicator_, stream_);
  const NcclWatch::Waiting waiting(watch_, name);  // for the other ranks, where this makes the first connection
  const ncclResult_t ended = ncclGroupEnd();
  check_nccl(asked, "an operation", name, communicator_);
  check_nccl(ended, "ncclGroupEnd", name, communicator_);
  const auto held = watch_.lock();
  flights_.push_back({name, take_event(), WatchClock::now()});
  check_cuda(cudaEventRecord(flights_.back().done.get(), stream_), "cudaEventRecord");
  return Request(std::make_unique<UnderWay>(*this, landed_ + flights_.size() - 1));
}

void NcclChannel::join(std::uint64_t ticket) {
  const auto held = watch_.lock();
  if (ticket < landed_) return;  // seen to be done
  const Flight& flight = flights_[static_cast<std::size_t>(ticket - landed_)];
  check_cuda(cudaStreamWaitEvent(backend_.stream(), flight.done.get(), 0), "cudaStreamWaitEvent");
}

CudaEvent NcclChannel::take_event() {
  if (idle_.empty()) return CudaEvent();
  CudaEvent event = std::move(idle_.back());
  idle_.pop_back();
  return event;
}

void NcclChannel::forget_finished(WatchClock::time_point now) {
  while (!flights_.empty() && cudaEventQuery(flights_.front().done.get()) == cudaSuccess) {
    idle_.push_back(std::move(flights_.front().done));
    flights_.pop_front();
    ++landed_;
    if (!flights_.empty()) flights_.front().since = now;
  }
}

std::optional<std::string> NcclChannel::problem(WatchClock::time_point now, std::chrono::duration<double> limit) {
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(communicator_, &state);
  forget_finished(now);
  const std::string& name = flights_.empty() ? name_ : flights_.front().name;
  if (asked == ncclSuccess && state != ncclSuccess && state != ncclInProgress) {
    const char* const more = ncclGetLastError(communicator_);
    return fmt::format("NCCL: '{}' failed: {}{}{}", name, ncclGetErrorString(state), more && *more ? ": " : "",
                       more ? more : "");
  }
  if (flights_.empty() || now - flights_.front().since <= limit) return std::nullopt;
  return late_text(name, limit);
}

}  // namespace coxswain
