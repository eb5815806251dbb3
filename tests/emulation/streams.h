// What the other parts of the emulated runtime ask of its streams.
#pragma once

#include <cuda_runtime.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

namespace cuda_emulation {

// One thread of the host at a time is inside of the runtime; it may come in again, and let others in for a while.
class DeviceMutex {
 public:
  void lock();
  void unlock();
  void pause();  // lets go of all that the thread holds, and takes it again

 private:
  std::mutex mutex_;
  std::atomic<std::thread::id> owner_;
  int depth_ = 0;
};
std::unique_lock<DeviceMutex> lock_device();
void enqueue(cudaStream_t stream, std::function<void()> work);
// Work that waits for other processes: tried until it says that it is done. With the first one a thread starts that
// keeps the streams going while the host does other things, as a GPU would.
void enqueue_until_done(cudaStream_t stream, std::function<bool()> attempt);
int current_device();
void run_all();

// What the host has done since the process began: how often it waited for the device, and how much it had put into
// streams by then, of all that it has by now.
struct HostRecord {
  std::uint64_t waits = 0, asked_before_last_wait = 0, asked = 0;
};
HostRecord host_record();
void note_wait();

}  // namespace cuda_emulation
