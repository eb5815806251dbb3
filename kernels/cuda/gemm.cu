// cuBLASLt takes matrices column by column, so that a view [rows, columns] is to it the transpose: [columns, rows] with
// the row's stride between columns. The product a b of rows is its product b^T a^T.
#include "kernels/cuda/gemm.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "kernels/cuda/runtime.h"

namespace coxswain {
namespace {

constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

void check_cublas(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw std::runtime_error(std::string("cuBLASLt: ") + call + ": " + cublasLtGetStatusString(status));
}

cudaDataType_t type_of(DType dtype) {
  return dtype == DType::bf16 ? CUDA_R_16BF : dtype == DType::f64 ? CUDA_R_64F : CUDA_R_32F;
}

std::int64_t leading_of(const TensorView& view) { return std::max(view.strides[0], view.shape[1]); }

// Of an operand's rows, in bytes, up to what the widest loads ask for. Not of its address alone, on which the choice of
// an algorithm, and so bits, would depend: a shard lies behind others on one grid, and by itself on another.
std::uint32_t alignment_of(const TensorView& view) {
  const std::int64_t row = view.rank() == 1 ? view.shape[0] : leading_of(view);
  const auto both =
      reinterpret_cast<std::uintptr_t>(view.data) | static_cast<std::uintptr_t>(row) * size_of(view.dtype);
  return static_cast<std::uint32_t>(std::min<std::uintptr_t>(16, both & (~both + 1)));
}

struct LayoutDeleter {
  void operator()(cublasLtMatrixLayout_t layout) const { cublasLtMatrixLayoutDestroy(layout); }
};
struct DescriptionDeleter {
  void operator()(cublasLtMatmulDesc_t description) const { cublasLtMatmulDescDestroy(description); }
};
struct PreferenceDeleter {
  void operator()(cublasLtMatmulPreference_t preference) const { cublasLtMatmulPreferenceDestroy(preference); }
};
template <class Handle, class Deleter>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, Deleter>;
using Layout = Owned<cublasLtMatrixLayout_t, LayoutDeleter>;
using Description = Owned<cublasLtMatmulDesc_t, DescriptionDeleter>;
using Preference = Owned<cublasLtMatmulPreference_t, PreferenceDeleter>;

Layout layout_of(const TensorView& view) {
  cublasLtMatrixLayout_t layout = nullptr;
  check_cublas(cublasLtMatrixLayoutCreate(&layout, type_of(view.dtype), static_cast<std::uint64_t>(view.shape[1]),
                                          static_cast<std::uint64_t>(view.shape[0]), leading_of(view)),
               "cublasLtMatrixLayoutCreate");
  return Layout(layout);
}

Description description_of(bool f64, bool first_transposed, bool second_transposed) {
  cublasLtMatmulDesc_t description = nullptr;
  check_cublas(cublasLtMatmulDescCreate(&description, f64 ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F,
                                        f64 ? CUDA_R_64F : CUDA_R_32F),
               "cublasLtMatmulDescCreate");
  Description owned(description);
  const auto set = [description](cublasLtMatmulDescAttributes_t attribute, bool transposed) {
    const cublasOperation_t operation = transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    check_cublas(cublasLtMatmulDescSetAttribute(description, attribute, &operation, sizeof operation),
                 "cublasLtMatmulDescSetAttribute");
  };
  set(CUBLASLT_MATMUL_DESC_TRANSA, first_transposed);
  set(CUBLASLT_MATMUL_DESC_TRANSB, second_transposed);
  return owned;
}

template <class T>
void describe(const Description& description, cublasLtMatmulDescAttributes_t attribute, T value) {
  check_cublas(cublasLtMatmulDescSetAttribute(description.get(), attribute, &value, sizeof value),
               "cublasLtMatmulDescSetAttribute");
}

cublasLtEpilogue_t epilogue_of(const Gemm::Finish& finish) {
  const bool bias = !finish.bias.empty();
  if (finish.kind == Gemm::Finish::Kind::gelu)
    return bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
  if (finish.kind == Gemm::Finish::Kind::gelu_gradient) return CUBLASLT_EPILOGUE_DGELU;
  return bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
}

// The addresses belong to a call, not to its plan: a plan's description is told of them each time.
void describe_finish(const Description& description, const Gemm::Finish& finish) {
  if (finish.bias) describe<const void*>(description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, finish.bias.data);
  if (finish.before) describe<const void*>(description, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, finish.before.data);
}

// Bias and the input of GELU have the result's type; rows of the latter lie 16 bytes apart.
bool can_finish(const TensorView& c, const Gemm::Finish& finish) {
  const bool activates = finish.kind != Gemm::Finish::Kind::none;
  if (c.dtype != DType::bf16 && (c.dtype != DType::f32 || activates)) return false;
  if (finish.bias && (finish.bias.dtype != c.dtype || alignment_of(finish.bias) < 16)) return false;
  return !activates ||
         (finish.before.dtype == c.dtype && alignment_of(finish.before) == 16 && leading_of(finish.before) % 8 == 0);
}

template <class T>
void prefer(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute, T value) {
  check_cublas(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof value),
               "cublasLtMatmulPreferenceSetAttribute");
}

}  // namespace

// In cuBLASLt's words: the factors change places.
struct Gemm::Plan {
  Description description;
  Layout first, second, result;
  cublasLtMatmulHeuristicResult_t algorithm;
  bool found = true;
};

Gemm::Gemm(cudaStream_t stream) : stream_(stream) { check_cublas(cublasLtCreate(&handle_), "cublasLtCreate"); }

Gemm::~Gemm() {
  cudaFree(workspace_);
  cublasLtDestroy(handle_);
}

void* Gemm::workspace(std::size_t bytes) {
  if (bytes > 0 && workspace_ == nullptr) check_cuda(cudaMalloc(&workspace_, kWorkspaceBytes), "cudaMalloc");
  return bytes > 0 ? workspace_ : nullptr;
}

const Gemm::Plan& Gemm::plan_for(const Factor& a, const Factor& b, const TensorView& c, const Finish& finish) {
  Key key{};
  std::size_t at = 0;
  for (const TensorView* view : {&a.view, &b.view, &c})
    for (const std::int64_t part : {static_cast<std::int64_t>(view->dtype), view->shape[0], view->shape[1],
                                    leading_of(*view), static_cast<std::int64_t>(alignment_of(*view))})
      key[at++] = part;
  key[at++] = a.transposed, key[at++] = b.transposed;
  key[at++] = static_cast<std::int64_t>(finish.kind), key[at++] = !finish.bias.empty();
  if (finish.before) key[at] = leading_of(finish.before);
  std::unique_ptr<Plan>& plan = plans_[key];
  if (plan) return *plan;

  cublasLtMatmulPreference_t raw = nullptr;
  check_cublas(cublasLtMatmulPreferenceCreate(&raw), "cublasLtMatmulPreferenceCreate");
  const Preference preference(raw);
  prefer<std::uint64_t>(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
  prefer<std::uint32_t>(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, CUBLASLT_REDUCTION_SCHEME_NONE);
  prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(b.view));
  prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(a.view));
  prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(c));
  prefer(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(c));
  auto made = std::make_unique<Plan>(Plan{description_of(c.dtype == DType::f64, b.transposed, a.transposed),
                                          layout_of(b.view),
                                          layout_of(a.view),
                                          layout_of(c),
                                          {}});
  const cublasLtEpilogue_t epilogue = epilogue_of(finish);
  if (epilogue != CUBLASLT_EPILOGUE_DEFAULT) describe(made->description, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
  if (finish.before)
    describe<std::int64_t>(made->description, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, leading_of(finish.before));
  describe_finish(made->description, finish);
  int found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      handle_, made->description.get(), made->first.get(), made->second.get(), made->result.get(), made->result.get(),
      preference.get(), 1, &made->algorithm, &found);
  made->found = found > 0;
  if (epilogue == CUBLASLT_EPILOGUE_DEFAULT) {  // there must be one
    check_cublas(status, "cublasLtMatmulAlgoGetHeuristic");
    if (found == 0)
      throw std::runtime_error("cuBLASLt has no algorithm for a product of " + a.view.shape.str() + " and " +
                               b.view.shape.str() + " in " + name_of(a.view.dtype));
  }
  plan = std::move(made);
  return *plan;
}

void Gemm::run(const Factor& a, const Factor& b, const TensorView& c, bool accumulate) {
  execute(plan_for(a, b, c, {}), a, b, c, accumulate);
}

bool Gemm::run_finished(const Factor& a, const Factor& b, const TensorView& c, const Finish& finish) {
  if (!can_finish(c, finish)) return false;
  const Plan& plan = plan_for(a, b, c, finish);
  if (!plan.found) return false;
  describe_finish(plan.description, finish);
  execute(plan, a, b, c, false);
  return true;
}

void Gemm::execute(const Plan& plan, const Factor& a, const Factor& b, const TensorView& c, bool accumulate) {
  const double wide[] = {1.0, accumulate ? 1.0 : 0.0};  // alpha and beta
  const float narrow[] = {1.0f, accumulate ? 1.0f : 0.0f};
  const bool f64 = c.dtype == DType::f64;
  const void* alpha = f64 ? static_cast<const void*>(wide) : narrow;
  const void* beta = f64 ? static_cast<const void*>(wide + 1) : narrow + 1;
  const std::size_t bytes = plan.algorithm.workspaceSize;
  check_cublas(cublasLtMatmul(handle_, plan.description.get(), alpha, b.view.data, plan.first.get(), a.view.data,
                              plan.second.get(), beta, c.data, plan.result.get(), c.data, plan.result.get(),
                              &plan.algorithm.algo, workspace(bytes), bytes, stream_),
               "cublasLtMatmul");
}

}  // namespace coxswain
