// The calls of the CUDA runtime that are neither streams nor events: devices, memory, copies and launches.
//
// COXSWAIN_EMULATED_DEVICES says how many devices there are (1), or "no-driver".
#include <cuda_runtime.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "tests/emulation/device_memory.h"
#include "tests/emulation/graphs.h"
#include "tests/emulation/schedule.h"
#include "tests/emulation/streams.h"

namespace cuda_emulation {
namespace {

constexpr int kSharedBytes = 48 << 10, kMostSharedBytes = 227 << 10;  // without asking, and at most (sm_90)

std::map<const void*, int>& shared_limits() {
  static std::map<const void*, int> limits;
  return limits;
}
std::map<const void*, std::size_t>& pinned() {
  static std::map<const void*, std::size_t> pieces;
  return pieces;
}
bool is_pinned(const void* memory) {
  const auto next = pinned().upper_bound(memory);
  if (next == pinned().begin()) return false;
  const auto& [start, bytes] = *std::prev(next);
  return memory < static_cast<const char*>(start) + bytes;
}

void require_device(const void* memory, std::size_t bytes, const char* call) {
  if (bytes > 0 && !holds(memory, bytes))
    fail(std::string(call) + " of " + std::to_string(bytes) + " bytes is not inside one allocation of the device");
}

std::string device_setting() {
  const char* text = std::getenv("COXSWAIN_EMULATED_DEVICES");
  return text ? text : "1";
}

int chosen_device = 0;

bool fits(const cudaLaunchConfig_t& config, const void* kernel) {
  const dim3 &threads = config.blockDim, &blocks = config.gridDim;
  const std::uint64_t count = std::uint64_t{threads.x} * threads.y * threads.z;
  if (count == 0 || count > 1024 || threads.z > 64) return false;
  if (blocks.x == 0 || blocks.y == 0 || blocks.z == 0 || blocks.x > 0x7fffffffu || blocks.y > 65535u ||
      blocks.z > 65535u)
    return false;
  const auto limit = shared_limits().find(kernel);
  return config.dynamicSmemBytes <=
         static_cast<std::size_t>(limit == shared_limits().end() ? kSharedBytes : limit->second);
}

}  // namespace

int current_device() { return chosen_device; }

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel, std::function<void()> thread) {
  const auto lock = lock_device();
  if (!fits(config, kernel)) return cudaErrorInvalidConfiguration;
  const Grid grid{config.gridDim, config.blockDim, config.dynamicSmemBytes, kernel, nullptr};
  enqueue(config.stream, [grid, body = std::move(thread)] {
    Grid ready = grid;
    ready.thread = &body;
    run(ready);
  });
  return cudaSuccess;
}

cudaError_t set_dynamic_shared_limit(const void* kernel, int bytes) {
  const auto lock = lock_device();
  if (bytes < 0 || bytes > kMostSharedBytes) return cudaErrorInvalidValue;
  shared_limits()[kernel] = bytes;
  return cudaSuccess;
}

}  // namespace cuda_emulation

using namespace cuda_emulation;

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
    case cudaErrorStreamCaptureMerge:
      return "operation would result in a merge of separate capture sequences";
    case cudaErrorStreamCaptureUnmatched:
      return "capture was not ended in the same stream as it began";
    case cudaErrorStreamCaptureUnjoined:
      return "capturing stream has unjoined work";
    case cudaErrorStreamCaptureIsolation:
      return "dependency created on uncaptured work in another stream";
    case cudaErrorCapturedEvent:
      return "operation not permitted on an event last recorded in a capturing stream";
    case cudaErrorStreamCaptureWrongThread:
      return "attempt to terminate a thread-local capture sequence from another thread";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
  }
  return "unknown error";
}

cudaError_t cudaGetLastError() { return cudaSuccess; }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  if (device_setting() == "no-driver") return cudaErrorInsufficientDriver;
  *count = std::atoi(device_setting().c_str());
  return *count > 0 ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaSetDevice(int device) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) return error;
  if (device < 0 || device >= count) return cudaErrorInvalidDevice;
  chosen_device = device;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrMultiProcessorCount ? 4 : attribute == cudaDevAttrComputeCapabilityMajor ? 9 : 0;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const auto lock = lock_device();
  *total = memory_in_all();
  *free = *total - memory_in_use();
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  const auto lock = lock_device();
  if (const cudaError_t error = unsafe_call()) return error;
  *memory = allocate(bytes);
  return *memory ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFree(void* memory) {
  if (memory == nullptr) return cudaSuccess;
  const auto lock = lock_device();
  if (const cudaError_t error = unsafe_call()) return error;
  run_all();
  release(memory);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  const auto lock = lock_device();
  if (const cudaError_t error = unsafe_call()) return error;
  *memory = std::malloc(bytes);
  if (*memory == nullptr) return cudaErrorMemoryAllocation;
  pinned()[*memory] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* memory) {
  const auto lock = lock_device();
  if (const cudaError_t error = unsafe_call()) return error;
  run_all();
  if (pinned().erase(memory) == 0 && memory != nullptr) fail("cudaFreeHost of memory that is not pinned");
  std::free(memory);
  return cudaSuccess;
}

// Memory of the host that is not pinned is read before the call returns, and written before it returns; pinned memory
// is read and written when the stream gets there. In a capture only pinned memory will do: what CUDA makes of other
// memory there is nowhere written.
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  const auto lock = lock_device();
  if (kind != cudaMemcpyHostToDevice) require_device(from, bytes, "cudaMemcpyAsync");
  if (kind != cudaMemcpyDeviceToHost) require_device(to, bytes, "cudaMemcpyAsync");
  const bool pageable =
      (kind == cudaMemcpyHostToDevice && !is_pinned(from)) || (kind == cudaMemcpyDeviceToHost && !is_pinned(to));
  if (pageable && is_captured(stream)) return call_outside_of_capture(stream);
  if (kind == cudaMemcpyHostToDevice && pageable) {
    const auto* start = static_cast<const char*>(from);
    enqueue(stream, [to, staged = std::vector<char>(start, start + bytes)] {
      if (!staged.empty()) std::memcpy(to, staged.data(), staged.size());
    });
    return cudaSuccess;
  }
  enqueue(stream, [=] { std::memmove(to, from, bytes); });
  return pageable ? cudaStreamSynchronize(stream) : cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  const auto lock = lock_device();
  require_device(to, bytes, "cudaMemsetAsync");
  enqueue(stream, [=] { std::memset(to, value, bytes); });
  return cudaSuccess;
}
