// Attention in BF16 on tensor cores; what CudaBackend's attention does for bf16. Shapes are checked by the caller.
#pragma once

#include <cuda_runtime.h>

#include "kernels/backend.h"

namespace coxswain {

void flash_attention(cudaStream_t stream, const TensorView& q, const TensorView& k, const TensorView& v,
                     const AttentionMask& mask, float scale, const TensorView& out, const TensorView& log_sum_exp);
// `delta` f32 [b, a, t] is scratch memory.
void flash_attention_gradient(cudaStream_t stream, const Backend::AttentionGradient& op, float* delta);

}  // namespace coxswain
