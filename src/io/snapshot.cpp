#include "io/snapshot.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cstring>
#include <new>

#include "base/error.h"
#include "io/fingerprint.h"

namespace coxswain {

namespace {

// "model/layer_00/mlp/up/weight": no empty part, no '.', no '..'; it becomes a path inside an HDF5 file.
std::string checked_name(const std::string& name) {
  const std::string plain = name.starts_with('/') ? name.substr(1) : name;
  const std::string framed = '/' + plain + '/';
  if (plain.empty() || framed.find("//") != std::string::npos || framed.find("/./") != std::string::npos ||
      framed.find("/../") != std::string::npos)
    throw Error(ExitCode::internal, fmt::format("'{}' cannot be a name in a checkpoint", name));
  return plain;
}

class Collector : public Archive {
 public:
  Collector(std::vector<Snapshot::Box>& boxes, std::vector<TensorView>& views, std::map<std::string, Value>& values)
      : boxes_(boxes), views_(views), values_(values) {}
  bool reading() const override { return false; }
  bool has(const std::string&) const override { return false; }

  void tensor(const Piece& piece) override {
    if (!(piece.memory.shape.elements() == piece.count.elements()) || !piece.memory.is_dense())
      throw Error(ExitCode::internal, fmt::format("tensor {}: memory of shape {} cannot hold the box {}", piece.name,
                                                  piece.memory.shape.str(), piece.count.str()));
    if (piece.count.elements() == 0 && piece.global.elements() != 0) return;
    boxes_.push_back({checked_name(piece.name), piece.memory.dtype, piece.global, piece.offset, piece.count, 0, 0});
    views_.push_back(piece.memory);
  }
  void value(const std::string& name, std::int64_t& value) override { keep(name, value); }
  void value(const std::string& name, double& value) override { keep(name, value); }
  void value(const std::string& name, std::string& value) override { keep(name, value); }
  void value(const std::string& name, std::vector<double>& value) override { keep(name, value); }

 private:
  template <class T>
  void keep(const std::string& name, const T& value) {
    if (!values_.emplace(checked_name(name), value).second)
      throw Error(ExitCode::internal, fmt::format("the value '{}' was shown twice to the checkpoint", name));
  }
  std::vector<Snapshot::Box>& boxes_;
  std::vector<TensorView>& views_;
  std::map<std::string, Value>& values_;
};

}  // namespace

std::uint64_t hash_value(const Value& value) {
  const auto hash = [](const auto& held) {
    using T = std::decay_t<decltype(held)>;
    if constexpr (std::is_arithmetic_v<T>)
      return hash_bytes(&held, sizeof held);
    else
      return hash_bytes(held.data(), held.size() * sizeof(held[0]));
  };
  return std::visit(hash, value);
}

void Snapshot::clear() {
  boxes_.clear();
  views_.clear();
  values_.clear();
  bytes_ = 0;
  error_ = nullptr;
  copied_.start();
}

void Snapshot::collect(const Visit& visit) {
  clear();
  Collector collector(boxes_, views_, values_);
  visit(collector);
  for (std::size_t i = 0; i < boxes_.size(); ++i) {
    boxes_[i].place = bytes_;
    boxes_[i].bytes = views_[i].bytes();
    bytes_ += (boxes_[i].bytes + 63) / 64 * 64;
  }
}

bool Snapshot::grow() {
  if (bytes_ <= capacity_) return false;
  // In pages of 2 MiB where the system has them: touching new ones is most of what a first save waits for.
  constexpr std::size_t kPage = std::size_t{2} << 20;
  const std::size_t rounded = (bytes_ + kPage - 1) / kPage * kPage;
  capacity_ = 0;
  buffer_.reset();
  buffer_.reset(static_cast<std::byte*>(std::aligned_alloc(kPage, rounded)));
  if (!buffer_) throw std::bad_alloc();
  static_cast<void>(::madvise(buffer_.get(), rounded, MADV_HUGEPAGE));
  capacity_ = bytes_;
  return true;
}

void Snapshot::prepare(const Visit& visit) {
  collect(visit);
  if (grow()) std::memset(buffer_.get(), 0, capacity_);
  clear();
}

void Snapshot::plan(const Visit& visit) {
  collect(visit);
  grow();
}

void Snapshot::copy(Backend& backend) {
  for (std::size_t i = 0; i < boxes_.size(); ++i) {
    const std::size_t end = boxes_[i].place + boxes_[i].bytes;
    backend.download_aside(views_[i], buffer_.get() + boxes_[i].place, [this, end](const std::exception_ptr& error) {
      if (error && !error_) error_ = error;
      error_ ? copied_.give_up() : copied_.reach(static_cast<std::int64_t>(end));
    });
  }
}

const std::byte* Snapshot::memory(const Box& box) const {
  if (!copied_.wait(static_cast<std::int64_t>(box.place + box.bytes))) std::rethrow_exception(error_);
  return buffer_.get() + box.place;
}

}  // namespace coxswain
