// Captures of streams, and graphs: what a capturing stream is asked for is a node that comes after what the stream was
// asked for before and after the events that it waits for. A launch puts all nodes into its stream, in an order that
// these dependencies allow and the seed chooses.
#include "tests/emulation/graphs.h"

#include <algorithm>
#include <memory>

#include "tests/emulation/schedule.h"
#include "tests/emulation/stream_state.h"
#include "tests/emulation/streams.h"

struct CUgraph_st {
  std::vector<cuda_emulation::Node> nodes;
};
struct CUgraphExec_st {
  std::vector<cuda_emulation::Node> nodes;
  CUevent_st launched;  // a launch comes after the last one, in whatever stream
  bool destroyed = false;
};

namespace cuda_emulation {
namespace {

// Kept: what is used too late is still known.
std::vector<std::unique_ptr<Capture>> captures;
std::vector<std::unique_ptr<CUgraph_st>> graphs;
std::vector<std::unique_ptr<CUgraphExec_st>> executables;
std::size_t launches = 0;

cudaError_t lose(Capture& capture, cudaError_t error) {
  capture.valid = false;
  return error;
}

// Whether every node comes before one of these, or is one.
bool ends_all(const std::vector<Node>& nodes, std::set<std::size_t> joined) {
  for (std::size_t i = nodes.size(); i-- > 0;)  // dependencies are older than what depends on them
    if (joined.count(i) > 0) joined.insert(nodes[i].after.begin(), nodes[i].after.end());
  return joined.size() == nodes.size();
}

std::vector<std::size_t> legal_order(const std::vector<Node>& nodes) {
  std::vector<std::size_t> done, able;
  std::vector<std::size_t> missing;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    missing.push_back(nodes[i].after.size());
    if (missing[i] == 0) able.push_back(i);
  }
  while (!able.empty()) {
    std::swap(able[order()() % able.size()], able.back());
    const std::size_t next = able.back();
    able.pop_back();
    done.push_back(next);
    for (std::size_t i = next + 1; i < nodes.size(); ++i)
      if (nodes[i].after.count(next) > 0 && --missing[i] == 0) able.push_back(i);
  }
  return done;
}

}  // namespace

cudaError_t unsafe_call() {
  cudaError_t result = cudaSuccess;
  for (const auto& capture : captures) {
    const bool disturbed =
        capture->mode == cudaStreamCaptureModeGlobal ||
        (capture->mode == cudaStreamCaptureModeThreadLocal && capture->thread == std::this_thread::get_id());
    if (capture->active && disturbed) result = lose(*capture, cudaErrorStreamCaptureUnsupported);
  }
  return result;
}

std::size_t graph_launches() { return launches; }

bool is_captured(cudaStream_t stream) { return stream != nullptr && stream->capture != nullptr; }

cudaError_t call_outside_of_capture(cudaStream_t stream) {
  return is_captured(stream) ? lose(*stream->capture, cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}

}  // namespace cuda_emulation

using namespace cuda_emulation;

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const auto lock = lock_device();
  if (stream == nullptr || is_captured(stream)) return cudaErrorInvalidValue;
  captures.push_back(std::make_unique<Capture>());
  stream->capture = captures.back().get();
  stream->capture->origin = stream;
  stream->capture->thread = std::this_thread::get_id();
  stream->capture->mode = mode;
  stream->nodes.clear();
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const auto lock = lock_device();
  *graph = nullptr;
  if (!is_captured(stream)) return cudaErrorInvalidValue;
  Capture& capture = *stream->capture;
  if (capture.mode != cudaStreamCaptureModeRelaxed && capture.thread != std::this_thread::get_id())
    return lose(capture, cudaErrorStreamCaptureWrongThread);
  if (capture.origin != stream) return lose(capture, cudaErrorStreamCaptureUnmatched);
  end_capture(capture);
  if (!capture.valid) return cudaErrorStreamCaptureInvalidated;
  if (!ends_all(capture.nodes, stream->nodes)) return cudaErrorStreamCaptureUnjoined;
  graphs.push_back(std::make_unique<CUgraph_st>());
  graphs.back()->nodes = std::move(capture.nodes);
  *graph = graphs.back().get();
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  const auto lock = lock_device();
  if (const cudaError_t error = unsafe_call()) return error;
  executables.push_back(std::make_unique<CUgraphExec_st>());
  executables.back()->nodes = graph->nodes;
  *executable = executables.back().get();
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const auto lock = lock_device();
  if (executable->destroyed) fail("a launch of a graph that was destroyed");
  if (is_captured(stream)) fail("a graph inside of a graph is not emulated");
  ++launches;
  CUevent_st& launched = executable->launched;
  put(stream, Work{{}, &launched, launched.recorded});
  for (const std::size_t i : legal_order(executable->nodes)) enqueue(stream, executable->nodes[i].run);
  cudaEventRecord(&launched, stream);
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const auto lock = lock_device();
  graph->nodes.clear();
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  if (executable == nullptr) return cudaErrorInvalidValue;
  const auto lock = lock_device();
  if (executable->launched.reached < executable->launched.recorded) fail("a graph is destroyed while it is at work");
  executable->destroyed = true;
  executable->nodes.clear();
  return cudaSuccess;
}
