// What a stream and an event are, for streams.cpp and graphs.cpp.
#pragma once

#include <cuda_runtime.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <set>
#include <thread>
#include <vector>

namespace cuda_emulation {

using Clock = std::chrono::steady_clock;

struct Work {
  std::function<bool()> attempt;  // true when it is done
  const CUevent_st* awaited = nullptr;
  std::uint64_t ticket = 0;
};

// Work of a graph, and which others it comes after.
struct Node {
  std::function<void()> run;
  std::set<std::size_t> after;
};

// What the streams of one capture have been asked for.
struct Capture {
  CUstream_st* origin = nullptr;
  std::thread::id thread;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  bool active = true, valid = true;
  std::vector<Node> nodes;
};

// Puts the work at the stream's end.
void put(cudaStream_t stream, Work work);
// Its streams run again what they are asked for.
void end_capture(Capture& capture);

}  // namespace cuda_emulation

struct CUevent_st {
  std::uint64_t recorded = 0, reached = 0;  // tickets
  cuda_emulation::Clock::time_point time;
  cuda_emulation::Capture* capture = nullptr;  // that it was recorded in, after these nodes
  std::set<std::size_t> nodes;
};

struct CUstream_st {
  std::deque<cuda_emulation::Work> queue;
  cuda_emulation::Capture* capture = nullptr;  // that takes what the stream is asked for: it comes after these nodes
  std::set<std::size_t> nodes;
};
