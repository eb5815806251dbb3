// What the other parts of the emulated runtime ask about captures.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

namespace cuda_emulation {

// Whether this call is allowed: cudaErrorStreamCaptureUnsupported, and the captures that it disturbs are lost, where it
// is unsafe beside a capture of this thread, or beside any thread's that was begun with cudaStreamCaptureModeGlobal.
cudaError_t unsafe_call();
// The same for a call that makes no sense in a capture of this stream.
cudaError_t call_outside_of_capture(cudaStream_t stream);
bool is_captured(cudaStream_t stream);
std::size_t graph_launches();  // so far, for tests

}  // namespace cuda_emulation
