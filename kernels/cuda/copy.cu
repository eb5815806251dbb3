// Copies and fills of views of any strides. Dimensions that lie behind one another in all views are joined, so that
// what is left are rows, which move in strips of 16 bytes where they are dense and all start at multiples of that.
// Floor: what is read and what is written through memory once.
#include <type_traits>

#include "kernels/cuda/strips.cuh"

namespace coxswain {
namespace {

// The rows of two views of one shape: where row r starts in both, and how far a row's elements are apart.
class RowsOfBoth {
 public:
  RowsOfBoth(const TensorView& a, const TensorView& b) {
    for (int dim = 0; dim < a.rank(); ++dim) append({a.shape[dim], a.strides[dim], b.strides[dim]});
  }
  std::int64_t length() const { return inner_.extent; }
  std::int64_t count() const {
    std::int64_t rows = 1;
    for (int dim = 0; dim < outer_count_; ++dim) rows *= outer_[dim].extent;
    return rows;
  }
  // Whether all rows of elements of so many bytes are dense and start at multiples of 16.
  bool wide(std::int64_t a_bytes, std::int64_t b_bytes) const {
    for (int dim = 0; dim < outer_count_; ++dim)
      if (outer_[dim].a * a_bytes % 16 != 0 || outer_[dim].b * b_bytes % 16 != 0) return false;
    return inner_.a == 1 && inner_.b == 1;
  }

  struct Place {
    std::int64_t a, b;
  };
  __device__ Place operator()(std::int64_t row, std::int64_t column) const {
    Place place{column * inner_.a, column * inner_.b};
    for (int dim = outer_count_ - 1; dim >= 0; --dim) {
      const std::int64_t rest = dim > 0 ? row / outer_[dim].extent : 0, index = row - rest * outer_[dim].extent;
      place.a += index * outer_[dim].a;
      place.b += index * outer_[dim].b;
      row = rest;
    }
    return place;
  }

 private:
  struct Dim {
    std::int64_t extent, a, b;  // strides
  };
  void append(const Dim& dim) {
    if (dim.extent == 1) return;
    if (inner_.extent == 1) {
      inner_ = dim;
    } else if (inner_.a == dim.extent * dim.a && inner_.b == dim.extent * dim.b) {
      inner_ = {inner_.extent * dim.extent, dim.a, dim.b};
    } else {
      outer_[outer_count_++] = inner_;
      inner_ = dim;
    }
  }
  Dim inner_{1, 1, 1}, outer_[Shape::kMaxRank - 1] = {};
  int outer_count_ = 0;
};

template <class From, class To>
struct CopyRows {
  const From* from;
  To* to;
  RowsOfBoth rows;

  template <int width>
  __device__ void strip(std::int64_t row, std::int64_t column) const {
    const RowsOfBoth::Place place = rows(row, column);
    if constexpr (!std::is_same_v<From, To>) {
      const Strip<From, width> values(from + place.a);
      Strip<To, width> converted;
      COXSWAIN_UNROLL
      for (int i = 0; i < width; ++i) converted[i] = static_cast<Real<To>>(values[i]);
      converted.store(to + place.b);
    } else if constexpr (width == kPack<From>) {
      store_pack(to + place.b, load_pack(from + place.a));
    } else {
      to[place.b] = from[place.a];
    }
  }
};

template <class T>
struct FillRows {
  T* to;
  RowsOfBoth rows;
  T value;

  template <int width>
  __device__ void strip(std::int64_t row, std::int64_t column) const {
    T* place = to + rows(row, column).a;
    if constexpr (width == kPack<T>) {
      Pack<T> pack;
      COXSWAIN_UNROLL
      for (T& element : pack.values) element = value;
      store_pack(place, pack);
    } else {
      *place = value;
    }
  }
};

bool is_aligned(const TensorView& view) { return reinterpret_cast<std::uintptr_t>(view.data) % 16 == 0; }

template <class From, class To>
void copy_typed(cudaStream_t stream, const TensorView& src, const TensorView& dst) {
  using Narrowest = std::conditional_t<(sizeof(From) < sizeof(To)), From, To>;
  const RowsOfBoth rows(src, dst);
  const bool wide = rows.wide(sizeof(From), sizeof(To)) && is_aligned(src) && is_aligned(dst);
  strips<Narrowest>(stream, rows.count(), rows.length(), wide, CopyRows<From, To>{src.as<From>(), dst.as<To>(), rows});
}

template <class T>
void fill_typed(cudaStream_t stream, const TensorView& dst, T value) {
  const RowsOfBoth rows(dst, dst);
  strips<T>(stream, rows.count(), rows.length(), rows.wide(sizeof(T), sizeof(T)) && is_aligned(dst),
            FillRows<T>{dst.as<T>(), rows, value});
}

}  // namespace

void CudaBackend::do_copy(TensorView src, TensorView dst) {
  if (src.elements() == 0) return;
  if (src.dtype == dst.dtype && src.is_dense() && dst.is_dense())
    return check_cuda(cudaMemcpyAsync(dst.data, src.data, src.bytes(), cudaMemcpyDeviceToDevice, stream()),
                      "cudaMemcpyAsync");
  if (src.dtype == DType::i32) return copy_typed<std::int32_t, std::int32_t>(stream(), src, dst);
  dispatch_type(src.dtype, [&](auto from) {
    dispatch_type(dst.dtype, [&](auto to) {
      copy_typed<typename decltype(from)::type, typename decltype(to)::type>(stream(), src, dst);
    });
  });
}

void CudaBackend::do_fill(TensorView dst, double value) {
  if (dst.elements() == 0) return;
  if (value == 0 && dst.is_dense())
    return check_cuda(cudaMemsetAsync(dst.data, 0, dst.bytes(), stream()), "cudaMemsetAsync");
  if (dst.dtype == DType::i32) return fill_typed(stream(), dst, static_cast<std::int32_t>(value));
  dispatch_type(dst.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    fill_typed(stream(), dst, static_cast<T>(static_cast<Real<T>>(value)));
  });
}

}  // namespace coxswain
