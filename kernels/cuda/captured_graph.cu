// What CudaBackend keeps for Backend::record: a CUDA graph, captured from the backend's stream. Launched, it is one
// call of the driver for all of its kernels and copies, whose arguments are those of the capture.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/runtime.h"

namespace coxswain {
namespace {

constexpr const char* kAdvice = " ([device] graphs = no does without)";

void check_graph(cudaError_t error, const char* call) { check_cuda(error, (std::string(call) + kAdvice).c_str()); }

class CapturedGraph final : public KeptOperations {
 public:
  // The graph itself is only its plan, and the caller's.
  CapturedGraph(cudaGraph_t graph, cudaStream_t stream) : stream_(stream) {
    check_graph(cudaGraphInstantiateWithFlags(&graph_, graph, 0), "cudaGraphInstantiateWithFlags");
  }
  CapturedGraph(const CapturedGraph&) = delete;
  CapturedGraph& operator=(const CapturedGraph&) = delete;
  ~CapturedGraph() override {
    cudaStreamSynchronize(stream_);  // it may be at work
    cudaGraphExecDestroy(graph_);
  }
  void run() override { check_graph(cudaGraphLaunch(graph_, stream_), "cudaGraphLaunch"); }

 private:
  cudaStream_t stream_;
  cudaGraphExec_t graph_ = nullptr;
};

}  // namespace

// Of this thread alone: other threads download and ask for events meanwhile.
void CudaBackend::begin_keeping() {
  check_graph(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
}

std::unique_ptr<KeptOperations> CudaBackend::end_keeping() {
  cudaGraph_t graph = nullptr;
  check_graph(cudaStreamEndCapture(stream(), &graph), "cudaStreamEndCapture");
  std::unique_ptr<KeptOperations> kept;
  try {
    kept = std::make_unique<CapturedGraph>(graph, stream());
  } catch (...) {
    cudaGraphDestroy(graph);
    throw;
  }
  cudaGraphDestroy(graph);
  return kept;
}

void CudaBackend::stop_keeping() noexcept {
  cudaGraph_t graph = nullptr;
  cudaStreamEndCapture(stream(), &graph);
  cudaGetLastError();
  if (graph != nullptr) cudaGraphDestroy(graph);
}

}  // namespace coxswain
