#include "kernels/cpu/compressed_weights.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>

#include "kernels/compressed.h"
#include "kernels/cpu/cpu_backend.h"

namespace coxswain {
namespace {

constexpr std::int64_t kOrdinary = 256;  // numbers for each exception, at least

template <class T>
using Word = typename GroupCode<T>::Word;

// Where the sixteen binades begin that hold most of a strip's numbers, as far as some of them tell; the lower ones of
// several, since more numbers are small than large.
template <class T>
Word<T> lowest_exponent(const Rows<T>& w, std::int64_t first, std::int64_t last, std::int64_t k) {
  constexpr std::int64_t kSeen = 1 << 12;
  constexpr int kBinades = 256, kCodes = 16;
  const std::int64_t stride = std::max<std::int64_t>(1, (last - first) * k / kSeen);
  std::array<std::int64_t, kBinades> count{};
  for (std::int64_t row = first; row < last; ++row)
    for (std::int64_t column = row % stride; column < k; column += stride) {
      Word<T> bits;
      std::memcpy(&bits, w[row] + column, sizeof bits);
      ++count[(bits & GroupCode<T>::kExponent) >> GroupCode<T>::kMantissa];
    }
  std::int64_t most = 0, held = 0;
  int lowest = 0;
  for (int binade = kBinades - 1; binade >= 0; --binade) {
    held += count[static_cast<std::size_t>(binade)];
    if (binade + kCodes < kBinades) held -= count[static_cast<std::size_t>(binade + kCodes)];
    if (held >= most) most = held, lowest = binade;
  }
  return static_cast<Word<T>>(lowest << GroupCode<T>::kMantissa);
}

// The numbers of a group in their order.
template <class T>
void gather_group(const Rows<T>& w, std::int64_t n, std::int64_t row, std::int64_t column, Word<T>* numbers) {
  constexpr int kWidth = DotStep<T>::kWidth;
  for (int r = 0; r < kStripRows; ++r) {
    const T* from = w[std::min(row + r, n - 1)] + column;
    Word<T>* to = numbers + r / kHalfRows * GroupCode<T>::kHalf + r % kHalfRows * kWidth;
    for (int step = 0; step < kGroupSteps; ++step)
      std::memcpy(to + step * kHalfRows * kWidth, from + step * kWidth, kWidth * sizeof(T));
  }
}

template <class T>
bool has_code(Word<T> number, Word<T> lowest) {
  const auto above = static_cast<Word<T>>((number & GroupCode<T>::kExponent) - lowest);
  return above <= (Word<T>{15} << GroupCode<T>::kMantissa);
}

template <class T>
void find_exceptions(const Word<T>* numbers, Word<T> lowest, std::int64_t group, std::vector<CodeException>& found) {
  constexpr int kNumbers = 2 * GroupCode<T>::kHalf;
  int coded = 0;
  for (int i = 0; i < kNumbers; ++i) coded += has_code<T>(numbers[i], lowest);
  for (int i = 0; coded < kNumbers && i < kNumbers; ++i)
    if (!has_code<T>(numbers[i], lowest)) found.push_back({static_cast<std::int32_t>(group), i, numbers[i]});
}

}  // namespace

CompressedWeights::CompressedWeights(Backend& backend, const TensorView& w) : backend_(backend), w_(w) {
  const MemoryScope scope(backend, MemoryKind::compressed);
  memory_.emplace(backend, static_cast<std::int64_t>(compressed_bytes(w)));
  w.dtype == DType::f32 ? compress<float>() : compress<bf16>();
  if (!worth_reading()) give_back();
}

CompressedWeights::~CompressedWeights() { give_back(); }

void CompressedWeights::give_back() noexcept {
  memory_.reset();
  backend_.release_idle(compressed_bytes(w_), compressed_bytes(w_));  // others hardly want such a block
}

bool CompressedWeights::is_of(const TensorView& w) const {
  return w.data == w_.data && w.dtype == w_.dtype && w.shape == w_.shape && w.strides == w_.strides;
}

template <class T>
void CompressedWeights::compress() {
  using Code = GroupCode<T>;
  const std::int64_t n = w_.shape[0], k = w_.shape[1], strips = (n + kStripRows - 1) / kStripRows,
                     groups = k / group_columns<T>();
  const Rows<T> w(w_);
  strips_.resize(static_cast<std::size_t>(strips) + 1);
  std::vector<std::vector<CodeException>> found(static_cast<std::size_t>(strips));
  std::atomic<std::int64_t> exceptions = 0;
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < strips; ++i) {
    if (exceptions * kOrdinary > n * k) continue;
    std::vector<CodeException>& of_strip = found[static_cast<std::size_t>(i)];
    const auto lowest = lowest_exponent<T>(w, i * kStripRows, std::min((i + 1) * kStripRows, n), k);
    strips_[static_cast<std::size_t>(i)].lowest = lowest;
    Word<T>* to = reinterpret_cast<Word<T>*>(memory_->data()) + i * groups * Code::kWords;
    for (std::int64_t group = 0; group < groups; ++group, to += Code::kWords) {
      alignas(64) Word<T> numbers[2 * Code::kHalf];
      gather_group(w, n, i * kStripRows, group * group_columns<T>(), numbers);
      Code::pack(numbers, lowest, to);
      find_exceptions<T>(numbers, lowest, group, of_strip);
    }
    exceptions += std::ssize(of_strip);
  }
  if (exceptions * kOrdinary > n * k) return strips_.clear();
  for (std::size_t i = 0; i < found.size(); ++i) {
    exceptions_.insert(exceptions_.end(), found[i].begin(), found[i].end());
    strips_[i + 1].first_exception = static_cast<std::uint32_t>(exceptions_.size());
  }
}

std::int64_t compressed_rows() {
#ifdef __AVX512F__
  return 8;
#else
  return 2;  // registers are fewer, and half as wide
#endif
}

void CpuBackend::keep_weights(const TensorView& w) {
  if (is_compressed_when_held(w)) compressed_.emplace(w.data, std::make_unique<CompressedWeights>(*this, w));
}

void CpuBackend::drop_weights(const TensorView& w) noexcept { compressed_.erase(w.data); }

std::size_t CpuBackend::weight_bytes(std::int64_t rows, const TensorView& w) const {
  return compressed_for(rows, w) != nullptr ? compressed_bytes(w) : w.bytes();
}

const CompressedWeights* CpuBackend::compressed_for(std::int64_t rows, const TensorView& w) const {
  if (rows > compressed_rows() || compressed_.empty()) return nullptr;
  const auto compressed = compressed_.find(w.data);
  if (compressed == compressed_.end()) return nullptr;
  const CompressedWeights& weights = *compressed->second;
  return weights.is_of(w) && weights.worth_reading() ? &weights : nullptr;
}

}  // namespace coxswain
