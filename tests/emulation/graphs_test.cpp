// Captured streams and graphs: what is recorded, in which orders it is repeated, and what a capture does not allow.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

#include "tests/emulation/emulated_device.h"

namespace cuda_emulation {
namespace {

__global__ void fill(float* values, float value) { values[threadIdx.x] = value; }
__global__ void add(const float* more, float* values) { values[threadIdx.x] += more[threadIdx.x]; }
__global__ void twice(float* values) { values[threadIdx.x] *= 2; }

cudaStream_t new_stream() {
  cudaStream_t stream = nullptr;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  return stream;
}
cudaEvent_t new_event() {
  cudaEvent_t event = nullptr;
  cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  return event;
}

class Capturing : public EmulatedDevice {
 public:
  explicit Capturing(std::uint64_t seed, cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal)
      : EmulatedDevice(seed), values(upload(std::vector<float>(32, 1.0f))), more(upload(std::vector<float>(32, 2.0f))) {
    synchronize();
    EXPECT_EQ(cudaStreamBeginCapture(stream(), mode), cudaSuccess);
  }
  cudaError_t end() { return cudaStreamEndCapture(stream(), &graph); }
  cudaGraphExec_t executable() {
    cudaGraphExec_t made = nullptr;
    EXPECT_EQ(end(), cudaSuccess);
    EXPECT_EQ(cudaGraphInstantiateWithFlags(&made, graph, 0), cudaSuccess);
    cudaGraphDestroy(graph);
    return made;
  }
  float value() { return download(values, 32)[7]; }

  float *values, *more;
  cudaGraph_t graph = nullptr;
};

TEST(Graphs, RepeatWhatWasAskedFor) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Capturing device(seed);
    device.launch(add, 1, 32, 0, device.more, device.values);
    device.launch(twice, 1, 32, 0, device.values);
    const cudaGraphExec_t graph = device.executable();
    EXPECT_EQ(device.value(), 1) << "nothing has run";
    for (const float expected : {6.0f, 16.0f, 36.0f}) {
      cudaGraphLaunch(graph, device.stream());
      EXPECT_EQ(device.value(), expected) << "seed " << seed;
    }
    cudaMemsetAsync(device.more, 0, 128, device.stream());  // what memory holds may change
    cudaGraphLaunch(graph, device.stream());
    EXPECT_EQ(device.value(), 72);
    EXPECT_EQ(cudaGraphExecDestroy(graph), cudaSuccess);
  }
}

TEST(Graphs, KeepArgumentsAndReadPinnedMemoryAnew) {
  Capturing device(1);
  cudaStreamEndCapture(device.stream(), &device.graph);
  void* pinned = nullptr;
  cudaMallocHost(&pinned, 128);
  auto* numbers = static_cast<float*>(pinned);
  cudaStreamBeginCapture(device.stream(), cudaStreamCaptureModeThreadLocal);
  float baked = 5;
  device.launch(fill, 1, 32, 0, device.values, baked);
  baked = 6;
  EXPECT_EQ(cudaMemcpyAsync(device.more, pinned, 128, cudaMemcpyHostToDevice, device.stream()), cudaSuccess);
  device.launch(add, 1, 32, 0, device.more, device.values);
  const cudaGraphExec_t graph = device.executable();
  for (const float uploaded : {10.0f, 20.0f}) {
    std::fill(numbers, numbers + 32, uploaded);
    cudaGraphLaunch(graph, device.stream());
    EXPECT_EQ(device.value(), 5 + uploaded);
  }
  cudaGraphExecDestroy(graph);
  cudaFreeHost(pinned);
}

// One stream doubles, another one waits for that, or does not, and adds: (1 * 2) + 2, or (1 + 2) * 2.
float fork_and_join(std::uint64_t seed, bool waits) {
  Capturing device(seed);
  const cudaStream_t other = new_stream();
  const cudaEvent_t forked = new_event(), doubled = new_event(), joined = new_event();
  cudaEventRecord(forked, device.stream());
  cudaStreamWaitEvent(other, forked);
  device.launch(twice, 1, 32, 0, device.values);
  cudaEventRecord(doubled, device.stream());
  if (waits) cudaStreamWaitEvent(other, doubled);
  device.launch_into(other, add, 1, 32, 0, device.more, device.values);
  cudaEventRecord(joined, other);
  cudaStreamWaitEvent(device.stream(), joined);
  device.launch(add, 1, 32, 0, device.more, device.values);
  const cudaGraphExec_t graph = device.executable();
  cudaGraphLaunch(graph, device.stream());
  const float result = device.value();
  cudaGraphExecDestroy(graph);
  cudaStreamDestroy(other);
  return result;
}

TEST(Graphs, AnEventIsKeptAndAMissingOneShows) {
  std::set<float> raced;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    EXPECT_EQ(fork_and_join(seed, true), 6) << "seed " << seed;
    raced.insert(fork_and_join(seed, false));
  }
  EXPECT_EQ(raced, (std::set<float>{6, 8}));
}

TEST(Graphs, OneLaunchComesAfterAnotherInAnyStream) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Capturing device(seed);
    device.launch(add, 1, 32, 0, device.more, device.values);
    device.launch(twice, 1, 32, 0, device.values);
    const cudaGraphExec_t graph = device.executable();
    const cudaStream_t other = new_stream();
    cudaGraphLaunch(graph, device.stream());
    cudaGraphLaunch(graph, other);
    cudaStreamSynchronize(other);
    EXPECT_EQ(device.value(), 16) << "seed " << seed;
    cudaGraphExecDestroy(graph);
    cudaStreamDestroy(other);
  }
}

// Each call is refused and loses the capture.
TEST(Graphs, ACaptureAllowsNothingThatWaitsOrAllocates) {
  void* memory = nullptr;
  std::vector<float> host(32);
  const cudaEvent_t before = new_event();
  const std::vector<std::function<cudaError_t(Capturing&)>> calls{
      [](Capturing& on) { return cudaStreamSynchronize(on.stream()); },
      [&](Capturing&) { return cudaMalloc(&memory, 64); },
      [](Capturing& on) { return cudaFree(on.more); },
      [&](Capturing&) { return cudaMallocHost(&memory, 64); },
      [&](Capturing&) { return cudaEventQuery(before); },
      [&](Capturing& on) { return cudaMemcpyAsync(host.data(), on.more, 64, cudaMemcpyDeviceToHost, on.stream()); },
      [&](Capturing& on) { return cudaMemcpyAsync(on.more, host.data(), 64, cudaMemcpyHostToDevice, on.stream()); }};
  for (std::size_t i = 0; i < calls.size(); ++i) {
    Capturing device(1);
    device.launch(twice, 1, 32, 0, device.values);
    EXPECT_EQ(calls[i](device), cudaErrorStreamCaptureUnsupported) << "call " << i;
    EXPECT_EQ(device.end(), cudaErrorStreamCaptureInvalidated) << "call " << i;
    EXPECT_EQ(device.graph, nullptr);
    EXPECT_EQ(device.value(), 1) << "the stream works again, and has not done what was captured";
  }
}

TEST(Graphs, OtherThreadsAreDisturbedByAGlobalCaptureOnly) {
  const cudaEvent_t event = new_event();
  for (const auto mode : {cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeGlobal}) {
    Capturing device(1, mode);
    cudaError_t seen = cudaSuccess;
    std::thread([&] { seen = cudaEventQuery(event); }).join();
    const bool global = mode == cudaStreamCaptureModeGlobal;
    EXPECT_EQ(seen, global ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
    EXPECT_EQ(device.end(), global ? cudaErrorStreamCaptureInvalidated : cudaSuccess);
  }
}

TEST(Graphs, EventsDoNotCrossTheBorderOfACapture) {
  Capturing device(1);
  const cudaStream_t other = new_stream();
  const cudaEvent_t outside = new_event(), inside = new_event();
  cudaEventRecord(outside, other);
  cudaEventRecord(inside, device.stream());
  EXPECT_EQ(cudaEventQuery(inside), cudaErrorCapturedEvent);
  EXPECT_EQ(cudaEventSynchronize(inside), cudaErrorCapturedEvent);
  EXPECT_EQ(cudaStreamWaitEvent(device.stream(), outside), cudaErrorStreamCaptureIsolation);
  EXPECT_EQ(device.end(), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(cudaStreamWaitEvent(other, inside), cudaErrorCapturedEvent);
  cudaStreamDestroy(other);
}

TEST(Graphs, AForkMustBeJoined) {
  Capturing device(1);
  const cudaStream_t other = new_stream();
  const cudaEvent_t forked = new_event();
  cudaEventRecord(forked, device.stream());
  cudaStreamWaitEvent(other, forked);
  device.launch_into(other, twice, 1, 32, 0, device.values);
  EXPECT_EQ(cudaStreamEndCapture(other, &device.graph), cudaErrorStreamCaptureUnmatched);
  EXPECT_EQ(device.end(), cudaErrorStreamCaptureInvalidated);
  cudaStreamBeginCapture(device.stream(), cudaStreamCaptureModeThreadLocal);
  cudaEventRecord(forked, device.stream());
  cudaStreamWaitEvent(other, forked);
  device.launch_into(other, twice, 1, 32, 0, device.values);
  EXPECT_EQ(device.end(), cudaErrorStreamCaptureUnjoined);
  cudaStreamDestroy(other);
}

TEST(Graphs, TwoCapturesDoNotMerge) {
  Capturing device(1);
  const cudaStream_t other = new_stream();
  const cudaEvent_t event = new_event();
  cudaStreamBeginCapture(other, cudaStreamCaptureModeThreadLocal);
  cudaEventRecord(event, other);
  EXPECT_EQ(cudaStreamWaitEvent(device.stream(), event), cudaErrorStreamCaptureMerge);
  EXPECT_EQ(device.end(), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(cudaStreamEndCapture(other, &device.graph), cudaErrorStreamCaptureInvalidated);
  cudaStreamDestroy(other);
}

TEST(Graphs, MemoryThatWasFreedIsAFault) {
  const auto replay = [] {
    Capturing device(1);
    device.launch(add, 1, 32, 0, device.more, device.values);
    const cudaGraphExec_t graph = device.executable();
    cudaFree(device.more);
    cudaGraphLaunch(graph, device.stream());
    device.synchronize();
  };
  EXPECT_EXIT(replay(), testing::ExitedWithCode(70), "access out of bounds.*in kernel .*add");
}

TEST(Graphs, AreNotDestroyedAtWorkNorLaunchedAfterwards) {
  const auto destroy = [](bool waits) {
    Capturing device(1);
    device.launch(twice, 1, 32, 0, device.values);
    const cudaGraphExec_t graph = device.executable();
    for (int i = 0; i < 20; ++i) cudaGraphLaunch(graph, device.stream());
    if (waits) device.synchronize();
    cudaGraphExecDestroy(graph);
    cudaGraphLaunch(graph, device.stream());
  };
  EXPECT_EXIT(destroy(false), testing::ExitedWithCode(70), "a graph is destroyed while it is at work");
  EXPECT_EXIT(destroy(true), testing::ExitedWithCode(70), "a launch of a graph that was destroyed");
}

}  // namespace
}  // namespace cuda_emulation
