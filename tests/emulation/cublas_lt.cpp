// cuBLASLt's matrix product over plain loops. An algorithm remembers the alignment that it was promised, and a product
// whose operands do not keep it is refused, as the library may do.
#include <cublasLt.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/emulation/device_memory.h"
#include "tests/emulation/schedule.h"
#include "tests/emulation/streams.h"

struct cublasLtContext {};
struct cublasLtMatmulDescOpaque_t {
  cublasComputeType_t compute;
  cublasOperation_t transposed[2] = {CUBLAS_OP_N, CUBLAS_OP_N};
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
  void* auxiliary = nullptr;  // GELU's input, of D's type
  std::int64_t auxiliary_leading = 0;

  bool adds() const { return epilogue == CUBLASLT_EPILOGUE_BIAS || epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS; }
  bool activates() const { return epilogue >= CUBLASLT_EPILOGUE_GELU_AUX; }
};
struct cublasLtMatrixLayoutOpaque_t {
  cudaDataType_t type;
  std::int64_t rows, columns, leading;
};
struct cublasLtMatmulPreferenceOpaque_t {
  std::map<int, std::uint32_t> values;
};

namespace cuda_emulation {
namespace {

using Layout = cublasLtMatrixLayoutOpaque_t;

std::size_t bytes_of(cudaDataType_t type) { return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2; }

double element(const Layout& layout, const void* data, std::int64_t row, std::int64_t column) {
  const std::int64_t at = row + column * layout.leading;
  if (layout.type == CUDA_R_64F) return static_cast<const double*>(data)[at];
  if (layout.type == CUDA_R_32F) return static_cast<const float*>(data)[at];
  return std::bit_cast<float>(static_cast<std::uint32_t>(static_cast<const std::uint16_t*>(data)[at]) << 16);
}

std::uint16_t round_to_bf16(float value) {
  const auto word = std::bit_cast<std::uint32_t>(value);
  if ((word & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return static_cast<std::uint16_t>((word + 0x7fffu + (word >> 16 & 1u)) >> 16);
}

void store(const Layout& layout, void* data, std::int64_t row, std::int64_t column, double value) {
  const std::int64_t at = row + column * layout.leading;
  if (layout.type == CUDA_R_64F) {
    static_cast<double*>(data)[at] = value;
  } else if (layout.type == CUDA_R_32F) {
    static_cast<float*>(data)[at] = static_cast<float>(value);
  } else {
    static_cast<std::uint16_t*>(data)[at] = round_to_bf16(static_cast<float>(value));
  }
}

struct Product {
  cublasLtMatmulDescOpaque_t description;
  Layout a, b, c, d;
  const void *a_data, *b_data, *c_data;
  void* d_data;
  double alpha, beta;
  std::uint64_t alignment;  // that the algorithm was chosen for, the least of the operands'
};

// GELU in its tanh form, or its derivative.
double gelu(double x, bool derivative) {
  const double k = std::sqrt(2 / 3.14159265358979323846), t = std::tanh(k * (x + 0.044715 * x * x * x));
  if (!derivative) return x / 2 * (1 + t);
  return (1 + t) / 2 + x / 2 * (1 - t * t) * k * (1 + 3 * 0.044715 * x * x);
}

// What the epilogue makes of a sum at (row, column) of D.
double finish(const Product& p, std::int64_t row, std::int64_t column, double sum) {
  const auto& description = p.description;
  Layout auxiliary = p.d;
  auxiliary.leading = description.auxiliary_leading;
  if (description.adds()) sum += element({p.d.type, p.d.rows, 1, p.d.rows}, description.bias, row, 0);
  if (!description.activates()) return sum;
  if (description.epilogue == CUBLASLT_EPILOGUE_DGELU)
    return sum * gelu(element(auxiliary, description.auxiliary, row, column), true);
  store(auxiliary, description.auxiliary, row, column, sum);
  return gelu(sum, false);
}

// Column after column of D; R is the type of the sums. Where the sums over k begin depends on the product's shape, its
// operands' alignment and what is done beside it, as the library's choice of an algorithm does: whoever cuts a product
// otherwise, or lays its operands elsewhere, gets other bits.
template <class R>
void multiply(const Product& p) {
  const bool turned_a = p.description.transposed[0] == CUBLAS_OP_T,
             turned_b = p.description.transposed[1] == CUBLAS_OP_T;
  const std::int64_t m = p.d.rows, n = p.d.columns, k = turned_a ? p.a.rows : p.a.columns;
  std::vector<R> a(static_cast<std::size_t>(m * k)), sums(static_cast<std::size_t>(m));  // a as [k, m]
  for (std::int64_t l = 0; l < k; ++l)
    for (std::int64_t i = 0; i < m; ++i)
      a[static_cast<std::size_t>(l * m + i)] =
          static_cast<R>(turned_a ? element(p.a, p.a_data, l, i) : element(p.a, p.a_data, i, l));
  const std::uint64_t kind = 8 * p.alignment + static_cast<std::uint64_t>(p.description.epilogue);
  const std::uint64_t choice = (static_cast<std::uint64_t>(31 * m + n) + 7919 * kind) * 0x9e3779b97f4a7c15u >> 40;
  const std::int64_t begin = k > 0 ? static_cast<std::int64_t>(choice) % k : 0;
  for (std::int64_t j = 0; j < n; ++j) {
    std::fill(sums.begin(), sums.end(), R(0));
    for (std::int64_t i = 0; i < k; ++i) {
      const std::int64_t l = i + begin < k ? i + begin : i + begin - k;
      const auto factor = static_cast<R>(turned_b ? element(p.b, p.b_data, j, l) : element(p.b, p.b_data, l, j));
      const R* column = a.data() + l * m;
      for (std::int64_t row = 0; row < m; ++row) sums[static_cast<std::size_t>(row)] += column[row] * factor;
    }
    for (std::int64_t i = 0; i < m; ++i) {
      const double product = p.alpha * static_cast<double>(sums[static_cast<std::size_t>(i)]);
      const double before = p.beta == 0 ? 0 : p.beta * element(p.c, p.c_data, i, j);
      store(p.d, p.d_data, i, j, static_cast<double>(static_cast<R>(finish(p, i, j, product + before))));
    }
  }
}

std::size_t span(const Layout& layout) {
  if (layout.rows == 0 || layout.columns == 0) return 0;
  return static_cast<std::size_t>(layout.leading * (layout.columns - 1) + layout.rows) * bytes_of(layout.type);
}

bool epilogue_fits(const cublasLtMatmulDescOpaque_t& product, const Layout& d) {
  const auto aligned = [](const void* data) { return reinterpret_cast<std::uintptr_t>(data) % 16 == 0; };
  if (product.adds() && (product.bias == nullptr || d.type == CUDA_R_64F || !aligned(product.bias))) return false;
  return !product.activates() || (product.auxiliary != nullptr && d.type == CUDA_R_16BF && aligned(product.auxiliary) &&
                                  product.auxiliary_leading % 8 == 0 && product.auxiliary_leading >= d.rows);
}

bool fits(const cublasLtMatmulDescOpaque_t& product, const Layout& a, const Layout& b, const Layout& d) {
  const auto side = [](const Layout& layout, bool turned, bool rows) {
    return turned != rows ? layout.rows : layout.columns;
  };
  const bool turned_a = product.transposed[0] == CUBLAS_OP_T, turned_b = product.transposed[1] == CUBLAS_OP_T;
  return side(a, turned_a, true) == d.rows && side(b, turned_b, false) == d.columns &&
         side(a, turned_a, false) == side(b, turned_b, true) && a.type == b.type && a.leading >= a.rows &&
         b.leading >= b.rows && d.leading >= d.rows &&
         (product.compute == CUBLAS_COMPUTE_64F) == (a.type == CUDA_R_64F) && epilogue_fits(product, d);
}

double scalar(cublasComputeType_t compute, const void* value) {
  return compute == CUBLAS_COMPUTE_64F ? *static_cast<const double*>(value) : *static_cast<const float*>(value);
}

// Objects that the caller destroys by name.
template <class T>
cublasStatus_t create(T** handle, const T& value) {
  *handle = std::make_unique<T>(value).release();
  return CUBLAS_STATUS_SUCCESS;
}
template <class T>
cublasStatus_t destroy(T* handle) {
  const std::unique_ptr<T> last(handle);
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace
}  // namespace cuda_emulation

using namespace cuda_emulation;

const char* cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS         ? "CUBLAS_STATUS_SUCCESS"
         : status == CUBLAS_STATUS_INVALID_VALUE ? "CUBLAS_STATUS_INVALID_VALUE"
                                                 : "CUBLAS_STATUS_NOT_SUPPORTED";
}
cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) { return create(handle, {}); }
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) { return destroy(handle); }
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* product, cublasComputeType_t compute, cudaDataType_t) {
  return create(product, {compute});
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t product) { return destroy(product); }
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, std::size_t bytes) {
  const auto take = [=](auto& place) {
    if (bytes != sizeof place) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(&place, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
  };
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return take(product->transposed[0]);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return take(product->transposed[1]);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return take(product->epilogue);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return take(product->bias);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
      return take(product->auxiliary);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
      return take(product->auxiliary_leading);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type, std::uint64_t rows,
                                          std::uint64_t columns, std::int64_t leading) {
  return create(layout, {type, static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns), leading});
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) { return destroy(layout); }
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) { return create(preference, {}); }
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) { return destroy(preference); }
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    std::size_t bytes) {
  std::memcpy(&preference->values[attribute], value, std::min(bytes, sizeof(std::uint32_t)));
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t product, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                              cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference, int,
                                              cublasLtMatmulHeuristicResult_t* results, int* found) {
  *found = 0;
  if (!fits(*product, *a, *b, *d) || c->type != d->type || c->rows != d->rows || c->columns != d->columns)
    return CUBLAS_STATUS_INVALID_VALUE;
  constexpr std::uint32_t kAssumed = 256;  // by the library, of an operand that nothing is said about
  for (int operand = 0; operand < 4; ++operand) {
    const auto told = preference->values.find(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES + operand);
    results[0].algo.alignments[operand] = told == preference->values.end() ? kAssumed : told->second;
  }
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t product, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t layout_a, const void* b, cublasLtMatrixLayout_t layout_b,
                              const void* beta, const void* c, cublasLtMatrixLayout_t layout_c, void* d,
                              cublasLtMatrixLayout_t layout_d, const cublasLtMatmulAlgo_t* algorithm, void*,
                              std::size_t, cudaStream_t stream) {
  const auto lock = lock_device();
  if (!fits(*product, *layout_a, *layout_b, *layout_d)) return CUBLAS_STATUS_INVALID_VALUE;
  const std::pair<const Layout*, const void*> operands[] = {{layout_a, a}, {layout_b, b}, {layout_c, c}, {layout_d, d}};
  for (std::size_t i = 0; i < std::size(operands); ++i) {
    const auto& [layout, data] = operands[i];
    if (span(*layout) == 0) continue;
    if (!holds(data, span(*layout))) fail("cublasLtMatmul: an operand is not inside one allocation of the device");
    if (reinterpret_cast<std::uintptr_t>(data) % algorithm->alignments[i] != 0) return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (product->adds() && !holds(product->bias, static_cast<std::size_t>(layout_d->rows) * bytes_of(layout_d->type)))
    fail("cublasLtMatmul: the bias is not inside one allocation of the device");
  Layout auxiliary = *layout_d;
  auxiliary.leading = product->auxiliary_leading;
  if (product->activates() && span(*layout_d) > 0 && !holds(product->auxiliary, span(auxiliary)))
    fail("cublasLtMatmul: the auxiliary matrix is not inside one allocation of the device");
  const Product work{*product,
                     *layout_a,
                     *layout_b,
                     *layout_c,
                     *layout_d,
                     a,
                     b,
                     c,
                     d,
                     scalar(product->compute, alpha),
                     scalar(product->compute, beta),
                     *std::min_element(std::begin(algorithm->alignments), std::end(algorithm->alignments))};
  enqueue(stream,
          [work] { work.description.compute == CUBLAS_COMPUTE_64F ? multiply<double>(work) : multiply<float>(work); });
  return CUBLAS_STATUS_SUCCESS;
}
