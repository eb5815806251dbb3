// See tile_gemm.h. oneDNN matmul: https://oneapi-src.github.io/oneDNN/dev_guide_matmul.html
#include "kernels/cpu/tile_gemm.h"

#include <omp.h>

#include <oneapi/dnnl/dnnl_version.h>
#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <unordered_map>
#include <vector>

namespace coxswain {
namespace {

using Memory = dnnl::memory;

struct ShapeHash {
  std::size_t operator()(const TileGemmShape& s) const {
    std::uint64_t hash = 0;
    const auto mix = [&hash](std::int64_t value) {
      hash = (hash ^ static_cast<std::uint64_t>(value)) * 0x9e3779b97f4a7c15ull;
      hash ^= hash >> 29;
    };
    for (const std::int64_t value : {s.m, s.n, s.k, s.a_row, s.a_column, s.b_row, s.b_column, s.c_row, s.packed_for})
      mix(value);
    mix(static_cast<std::int64_t>(s.a) | static_cast<std::int64_t>(s.b) << 8 | static_cast<std::int64_t>(s.c) << 16 |
        static_cast<std::int64_t>(s.accumulate) << 24);
    return static_cast<std::size_t>(hash);
  }
};

// Inside, OpenMP code that is not in a parallel region of its own runs on one thread. Bits depend on the thread count
// that oneDNN sees, both when a primitive is created and, for some kernels, when it runs.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) {
    if (before_ != 1) omp_set_num_threads(1);
  }
  ~OneThread() {
    if (before_ != 1) omp_set_num_threads(before_);
  }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

const dnnl::engine& cpu_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

Memory::data_type dnnl_type(DType dtype) {
  return dtype == DType::bf16 ? Memory::data_type::bf16 : Memory::data_type::f32;
}

// A matrix of one row or column may carry any stride there; oneDNN wants one that could be a leading dimension.
Memory::desc describe(std::int64_t rows, std::int64_t columns, std::int64_t row, std::int64_t column, DType dtype) {
  if (rows == 1 && column == 1) row = columns;
  if (columns == 1 && row == 1) column = rows;
  return Memory::desc({rows, columns}, dnnl_type(dtype), Memory::dims{row, column});
}

// What one thread needs to run primitives: a stream, one scratchpad for all of them, and memory objects for each.
class ThreadState {
 public:
  struct Bound {
    Memory a, b, c, scratchpad;
  };

  static ThreadState& mine() {
    thread_local ThreadState state;
    return state;
  }
  dnnl_stream_t stream() const { return stream_.get(); }
  Bound& bound(std::size_t number, const dnnl::matmul::primitive_desc& description) {
    if (number >= bound_.size()) bound_.resize(number + 1);
    std::unique_ptr<Bound>& entry = bound_[number];
    if (!entry) {
      const auto memory = [](const Memory::desc& desc) { return Memory(desc, cpu_engine(), nullptr); };
      entry = std::make_unique<Bound>(Bound{memory(description.src_desc()), memory(description.weights_desc()),
                                            memory(description.dst_desc()), memory(description.scratchpad_desc())});
    }
    return *entry;
  }
  void* scratchpad(std::size_t bytes) {
    constexpr std::size_t kLine = 4096;
    if (scratchpad_.size() < bytes + kLine) scratchpad_.resize(bytes + kLine);
    const auto address = reinterpret_cast<std::uintptr_t>(scratchpad_.data());
    return scratchpad_.data() + ((kLine - address % kLine) % kLine);
  }

 private:
  ThreadState() : stream_(cpu_engine()) {}
  dnnl::stream stream_;
  std::vector<std::unique_ptr<Bound>> bound_;
  std::vector<char> scratchpad_;
};

dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

dnnl::matmul::primitive_desc describe_product(const Memory::desc& a, const Memory::desc& b, const Memory::desc& c,
                                              const dnnl::primitive_attr& attributes) {
#if DNNL_VERSION_MAJOR >= 3
  return dnnl::matmul::primitive_desc(cpu_engine(), a, b, c, attributes);
#else
  return dnnl::matmul::primitive_desc(dnnl::matmul::desc(a, b, c), attributes, cpu_engine());
#endif
}

class DnnlGemm final : public TileGemm {
 public:
  DnnlGemm(const TileGemmShape& s, std::size_t number) : number_(number) {
    const OneThread one_thread;
    const Memory::desc a = describe(s.m, s.k, s.a_row, s.a_column, s.a);
    const Memory::desc c = describe(s.m, s.n, s.c_row, 1, s.c);
    Memory::desc b = describe(s.k, s.n, s.b_row, s.b_column, s.b);
    if (s.packed_for > 0) {
      const Memory::desc plain = b, any({s.k, s.n}, dnnl_type(s.b), Memory::format_tag::any);
      b = describe_product(describe(s.packed_for, s.k, s.k, 1, s.a), any, describe(s.packed_for, s.n, s.n, 1, s.c),
                           user_scratchpad())
              .weights_desc();
      packing_ = dnnl::reorder::primitive_desc(cpu_engine(), plain, cpu_engine(), b, user_scratchpad());
      packer_ = dnnl::reorder(packing_);
      packed_bytes_ = b.get_size();
    }
    dnnl::primitive_attr attributes = user_scratchpad();
    if (s.accumulate) {
      dnnl::post_ops post_ops;
      post_ops.append_sum(1.0f);
      attributes.set_post_ops(post_ops);
    }
    description_ = describe_product(a, b, c, attributes);
    primitive_ = dnnl::matmul(description_);
    scratchpad_bytes_ = description_.scratchpad_desc().get_size();
  }

  std::size_t packed_bytes() const override { return packed_bytes_; }
  void pack(const void* b, void* packed) const override {
    const OneThread one_thread;
    ThreadState& state = ThreadState::mine();
    const Memory from(packing_.src_desc(), cpu_engine(), const_cast<void*>(b));
    const Memory to(packing_.dst_desc(), cpu_engine(), packed);
    const Memory::desc work = packing_.scratchpad_desc();
    const Memory scratchpad(work, cpu_engine(), state.scratchpad(work.get_size()));
    const std::array<dnnl_exec_arg_t, 3> arguments = {
        {{DNNL_ARG_FROM, from.get()}, {DNNL_ARG_TO, to.get()}, {DNNL_ARG_SCRATCHPAD, scratchpad.get()}}};
    dnnl::error::wrap_c_api(
        dnnl_primitive_execute(packer_.get(), state.stream(), work.get_size() > 0 ? 3 : 2, arguments.data()),
        "oneDNN could not reorder a matrix");
  }

  void run(const void* a, const void* b, void* c) const override {
    const OneThread one_thread;
    ThreadState& state = ThreadState::mine();
    ThreadState::Bound& bound = state.bound(number_, description_);
    bound.a.set_data_handle(const_cast<void*>(a));
    bound.b.set_data_handle(const_cast<void*>(b));
    bound.c.set_data_handle(c);
    int count = 3;
    std::array<dnnl_exec_arg_t, 4> arguments = {
        {{DNNL_ARG_SRC, bound.a.get()}, {DNNL_ARG_WEIGHTS, bound.b.get()}, {DNNL_ARG_DST, bound.c.get()}, {}}};
    if (scratchpad_bytes_ > 0) {
      bound.scratchpad.set_data_handle(state.scratchpad(scratchpad_bytes_));
      arguments[3] = {DNNL_ARG_SCRATCHPAD, bound.scratchpad.get()};
      count = 4;
    }
    dnnl::error::wrap_c_api(dnnl_primitive_execute(primitive_.get(), state.stream(), count, arguments.data()),
                            "oneDNN could not run a matrix product");
  }

 private:
  std::size_t number_;
  dnnl::matmul::primitive_desc description_;
  dnnl::matmul primitive_;
  std::size_t scratchpad_bytes_ = 0;
  dnnl::reorder::primitive_desc packing_;
  dnnl::reorder packer_;
  std::size_t packed_bytes_ = 0;
};

// Double precision for tests: plain loops, sums over k in order.
class DoubleGemm final : public TileGemm {
 public:
  explicit DoubleGemm(const TileGemmShape& shape) : s_(shape) {}

  void run(const void* a_data, const void* b_data, void* c_data) const override {
    const auto* a = static_cast<const double*>(a_data);
    const auto* b = static_cast<const double*>(b_data);
    auto* c = static_cast<double*>(c_data);
    for (std::int64_t i = 0; i < s_.m; ++i)
      for (std::int64_t j = 0; j < s_.n; ++j) {
        double sum = 0;
        for (std::int64_t l = 0; l < s_.k; ++l)
          sum += a[i * s_.a_row + l * s_.a_column] * b[l * s_.b_row + j * s_.b_column];
        double& result = c[i * s_.c_row + j];
        result = s_.accumulate ? result + sum : sum;
      }
  }

 private:
  TileGemmShape s_;
};

// Processors on which oneDNN knows no bf16: the operands are widened, the product is FP32, C is rounded at the end.
class WideningGemm final : public TileGemm {
 public:
  explicit WideningGemm(const TileGemmShape& shape) : s_(shape), product_(TileGemm::get(wide(shape))) {}

  void run(const void* a, const void* b, void* c) const override {
    thread_local std::vector<float> buffer;
    buffer.resize(static_cast<std::size_t>(s_.m * s_.k + s_.k * s_.n + s_.m * s_.n));
    float* wide_a = buffer.data();
    float* wide_b = wide_a + s_.m * s_.k;
    float* wide_c = wide_b + s_.k * s_.n;
    widen(a, s_.m, s_.k, s_.a_row, s_.a_column, wide_a);
    widen(b, s_.k, s_.n, s_.b_row, s_.b_column, wide_b);
    product_.run(wide_a, wide_b, s_.c == DType::f32 ? c : wide_c);
    if (s_.c == DType::f32) return;
    for (std::int64_t i = 0; i < s_.m; ++i)
      for (std::int64_t j = 0; j < s_.n; ++j) static_cast<bf16*>(c)[i * s_.c_row + j] = bf16(wide_c[i * s_.n + j]);
  }

 private:
  static TileGemmShape wide(TileGemmShape s) {
    s.a_row = s.k, s.b_row = s.n, s.a_column = s.b_column = 1;
    if (s.c == DType::bf16) s.c_row = s.n;
    s.packed_for = 0;
    s.a = s.b = s.c = DType::f32;
    return s;
  }
  static void widen(const void* from, std::int64_t rows, std::int64_t columns, std::int64_t row, std::int64_t column,
                    float* to) {
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns; ++j)
        to[i * columns + j] = static_cast<float>(static_cast<const bf16*>(from)[i * row + j * column]);
  }

  TileGemmShape s_;
  const TileGemm& product_;
};

void check(const TileGemmShape& s) {
  const auto fail = [&s](const char* what) {
    throw std::invalid_argument("tile product of m " + std::to_string(s.m) + ", n " + std::to_string(s.n) + ", k " +
                                std::to_string(s.k) + ", " + name_of(s.a) + " x " + name_of(s.b) + " -> " +
                                name_of(s.c) + ": " + what);
  };
  if (s.m < 1 || s.n < 1 || s.k < 1) fail("an extent is not positive");
  if (s.a != s.b) fail("both factors must have one type");
  if (s.a == DType::i32) fail("integers are not multiplied");
  const bool same = s.c == s.a;
  if (!same && !(s.a == DType::bf16 && s.c == DType::f32)) fail("no such result type");
  if (s.accumulate && s.c == DType::bf16) fail("bf16 cannot accumulate");
  // With other layouts of A the library falls back to its reference code, a thousand times slower.
  if (s.packed_for > 0 && (s.a_column != 1 || s.a_row != s.k)) fail("a packed B needs a dense A");
  if (s.a == DType::f64) return;
  if ((s.a_row != 1 && s.a_column != 1) || (s.b_row != 1 && s.b_column != 1)) fail("a factor is dense in no dimension");
}

class Cache {
 public:
  static Cache& shared() {
    static Cache cache;
    return cache;
  }
  const TileGemm& get(const TileGemmShape& shape) {
    std::size_t number = 0;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (const auto found = products_.find(shape); found != products_.end()) return *found->second;
      number = numbers_given_++;
    }
    // Unlocked, since a product may ask for another one; of two threads that make the same one, the first wins.
    std::unique_ptr<TileGemm> made = make(shape, number);
    const std::lock_guard<std::mutex> lock(mutex_);
    return *products_.try_emplace(shape, std::move(made)).first->second;
  }

 private:
  Cache() { cpu_engine(); }  // outlives the primitives
  static std::unique_ptr<TileGemm> make(const TileGemmShape& shape, std::size_t number) {
    check(shape);
    if (shape.a == DType::f64) return std::make_unique<DoubleGemm>(shape);
    try {
      return std::make_unique<DnnlGemm>(shape, number);
    } catch (const dnnl::error& error) {
      if (error.status != dnnl_unimplemented || shape.a != DType::bf16) throw;
      return std::make_unique<WideningGemm>(shape);
    }
  }
  std::mutex mutex_;
  std::size_t numbers_given_ = 0;
  std::unordered_map<TileGemmShape, std::unique_ptr<TileGemm>, ShapeHash> products_;
};

}  // namespace

const TileGemm& TileGemm::get(const TileGemmShape& shape) {
  struct Entry {
    TileGemmShape shape;
    const TileGemm* product = nullptr;
  };
  thread_local std::array<Entry, 64> recent;
  Entry& entry = recent[ShapeHash()(shape) % recent.size()];
  if (entry.product == nullptr || !(entry.shape == shape)) entry = {shape, &Cache::shared().get(shape)};
  return *entry.product;
}

}  // namespace coxswain
