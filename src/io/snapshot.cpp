#include "io/snapshot.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

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
  values_.clear();
  bytes_ = 0;
}

void Snapshot::take(Backend& backend, const Visit& visit) {
  clear();
  std::vector<TensorView> views;
  Collector collector(boxes_, views, values_);
  visit(collector);
  for (std::size_t i = 0; i < boxes_.size(); ++i) {
    boxes_[i].place = bytes_;
    boxes_[i].bytes = views[i].bytes();
    bytes_ += (boxes_[i].bytes + 63) / 64 * 64;
  }
  if (bytes_ > capacity_) {
    buffer_.reset();
    buffer_ = std::make_unique_for_overwrite<std::byte[]>(bytes_);  // not zeroed: training waits for this
    capacity_ = bytes_;
  }
  for (std::size_t i = 0; i < boxes_.size(); ++i)
    if (boxes_[i].bytes != 0) backend.download(views[i], buffer_.get() + boxes_[i].place);
}

}  // namespace coxswain
