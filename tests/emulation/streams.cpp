// Streams and events. What is put into a stream runs some time later: when somebody waits for it, or when the random
// order wants it; streams take turns at random, and keep to their own order and to the events they wait for.
#include "tests/emulation/streams.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>

#include "tests/emulation/device_memory.h"
#include "tests/emulation/graphs.h"
#include "tests/emulation/schedule.h"
#include "tests/emulation/stream_state.h"

namespace cuda_emulation {
namespace {

struct Device {
  DeviceMutex mutex;
  std::atomic<Clock::rep> last_call{0};  // of the host
  std::set<CUstream_st*> streams;
  std::vector<std::unique_ptr<CUstream_st>> all_streams;  // kept: a name that is used too late is still a stream
  std::vector<std::unique_ptr<CUevent_st>> events;
  std::size_t waiting = 0;  // works in all streams
  HostRecord record;
};
Device& device() {
  static Device only;
  return only;
}

bool can_run(const CUstream_st& stream) {
  if (stream.queue.empty()) return false;
  const Work& next = stream.queue.front();
  return next.awaited == nullptr || next.awaited->reached >= next.ticket;
}

// Runs one work of one stream; false if none can run.
bool step() {
  std::vector<CUstream_st*> able;
  for (CUstream_st* stream : device().streams)
    if (can_run(*stream)) able.push_back(stream);
  if (able.size() > 1) std::shuffle(able.begin(), able.end(), order());
  for (CUstream_st* stream : able) {
    const std::function<bool()>& attempt = stream->queue.front().attempt;
    if (attempt && !attempt()) continue;
    stream->queue.pop_front();
    --device().waiting;
    return true;
  }
  return false;
}

// Whether something may go on when other processes have.
bool waits_for_others() {
  return std::any_of(device().streams.begin(), device().streams.end(),
                     [](const CUstream_st* s) { return can_run(*s); });
}

template <class Done>
void run_until(const Done& done) {
  if (done()) return;
  const OpenMemory open;
  while (!done()) {
    if (step()) continue;
    if (!waits_for_others()) fail("a stream waits for an event that nothing will record");
    device().mutex.pause();
  }
}

// Keeps the streams going while the host is elsewhere, in MPI for instance.
class Progress {
 public:
  Progress() : thread_([this] { run(); }) {}
  ~Progress() {
    ends_ = true;
    thread_.join();
  }

 private:
  void run() {
    constexpr std::chrono::microseconds kQuiet{300};
    while (!ends_) {
      std::this_thread::sleep_for(kQuiet);
      if (Clock::now().time_since_epoch().count() - device().last_call < Clock::duration(kQuiet).count()) continue;
      const std::unique_lock lock(device().mutex);
      if (!waits_for_others()) continue;
      const OpenMemory open;
      for (int left = 64; left > 0 && step();) --left;
    }
  }
  std::atomic<bool> ends_{false};
  std::thread thread_;
};

void capture(CUstream_st& stream, std::function<void()> work) {
  std::vector<Node>& nodes = stream.capture->nodes;
  nodes.push_back({std::move(work), stream.nodes});
  stream.nodes = {nodes.size() - 1};
}

}  // namespace

void put(cudaStream_t stream, Work work) {
  if (stream == nullptr || device().streams.count(stream) == 0)
    fail(stream ? "a stream that was destroyed" : "the default stream is not emulated");
  stream->queue.push_back(std::move(work));
  ++device().waiting;
  ++device().record.asked;
  constexpr std::size_t kMost = 4096;
  if (device().waiting < kMost && order()() % 16 != 0) return;
  const OpenMemory open;
  for (std::uint64_t left = device().waiting >= kMost ? kMost : order()() % 32; left > 0 && step();) --left;
}

void DeviceMutex::lock() {
  if (owner_ != std::this_thread::get_id()) mutex_.lock();
  owner_ = std::this_thread::get_id();
  ++depth_;
}

void DeviceMutex::unlock() {
  if (--depth_ > 0) return;
  owner_ = std::thread::id();
  mutex_.unlock();
}

void DeviceMutex::pause() {
  const int depth = std::exchange(depth_, 0);
  owner_ = std::thread::id();
  mutex_.unlock();
  std::this_thread::sleep_for(std::chrono::microseconds(50));
  lock();
  depth_ = depth;
}

std::unique_lock<DeviceMutex> lock_device() {
  std::unique_lock lock(device().mutex);
  device().last_call = Clock::now().time_since_epoch().count();
  return lock;
}

void enqueue(cudaStream_t stream, std::function<void()> work) {
  if (is_captured(stream)) return capture(*stream, std::move(work));
  const auto once = [run = std::move(work)] {
    run();
    return true;
  };
  put(stream, Work{once, nullptr, 0});
}

void enqueue_until_done(cudaStream_t stream, std::function<bool()> attempt) {
  if (is_captured(stream)) fail("communication in a capture is not emulated");
  static Progress progress;
  put(stream, Work{std::move(attempt), nullptr, 0});
}

HostRecord host_record() {
  const auto lock = lock_device();
  return device().record;
}

void note_wait() {
  ++device().record.waits;
  device().record.asked_before_last_wait = device().record.asked;
}

void run_all() {
  note_wait();
  run_until([] { return device().waiting == 0; });
}

// The stream goes on behind an event of a capture, and so takes part in it.
cudaError_t follow(CUstream_st& stream, const CUevent_st& event) {
  if (!event.capture->active) return cudaErrorCapturedEvent;
  if (stream.capture != nullptr && stream.capture != event.capture) {
    stream.capture->valid = event.capture->valid = false;
    return cudaErrorStreamCaptureMerge;
  }
  if (stream.capture == nullptr) stream.nodes.clear();
  stream.capture = event.capture;
  stream.nodes.insert(event.nodes.begin(), event.nodes.end());
  return cudaSuccess;
}

void end_capture(Capture& capture) {
  capture.active = false;
  for (CUstream_st* stream : device().streams)
    if (stream->capture == &capture) stream->capture = nullptr;
}

}  // namespace cuda_emulation

using namespace cuda_emulation;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const auto lock = lock_device();
  device().all_streams.push_back(std::make_unique<CUstream_st>());
  *stream = device().all_streams.back().get();
  device().streams.insert(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  cudaStreamSynchronize(stream);
  const auto lock = lock_device();
  device().streams.erase(stream);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const auto lock = lock_device();
  if (const cudaError_t error = call_outside_of_capture(stream)) return error;
  note_wait();
  run_until([stream] { return stream->queue.empty(); });
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const auto lock = lock_device();
  if (event->capture != nullptr) return follow(*stream, *event);
  if (is_captured(stream)) {
    call_outside_of_capture(stream);
    return cudaErrorStreamCaptureIsolation;
  }
  put(stream, Work{{}, event, event->recorded});
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  const auto lock = lock_device();
  device().events.push_back(std::make_unique<CUevent_st>());
  *event = device().events.back().get();
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }  // kept: a stream may still wait for it

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const auto lock = lock_device();
  event->capture = stream->capture;
  if (is_captured(stream)) {
    event->nodes = stream->nodes;
    return cudaSuccess;
  }
  const std::uint64_t ticket = ++event->recorded;
  enqueue(stream, [event, ticket] {
    event->reached = ticket;
    event->time = Clock::now();
  });
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const auto lock = lock_device();
  if (event->capture != nullptr) return cudaErrorCapturedEvent;
  const std::uint64_t ticket = event->recorded;
  note_wait();
  run_until([event, ticket] { return event->reached >= ticket; });
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const auto lock = lock_device();
  if (event->capture != nullptr) return cudaErrorCapturedEvent;
  if (const cudaError_t error = unsafe_call()) return error;
  return event->reached >= event->recorded ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
  return cudaSuccess;
}
