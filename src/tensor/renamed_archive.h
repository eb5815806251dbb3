// The same archive under other names: where one run's state holds several models, each has a prefix of its own; and
// where the average of the weights is wanted, it is found under the names of the weights.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tensor/archive.h"

namespace coxswain {

class RenamedArchive final : public Archive {
 public:
  // Names that begin with `from` begin with `to` in the archive; the others are as they are.
  RenamedArchive(Archive& archive, std::string from, std::string to)
      : archive_(archive), from_(std::move(from)), to_(std::move(to)) {}

  bool reading() const override { return archive_.reading(); }
  void tensor(const Piece& piece) override {
    Piece named = piece;
    named.name = renamed(piece.name);
    archive_.tensor(named);
  }
  void value(const std::string& name, std::int64_t& value) override { archive_.value(renamed(name), value); }
  void value(const std::string& name, double& value) override { archive_.value(renamed(name), value); }
  void value(const std::string& name, std::string& value) override { archive_.value(renamed(name), value); }
  void value(const std::string& name, std::vector<double>& value) override { archive_.value(renamed(name), value); }
  bool has(const std::string& name) const override { return archive_.has(renamed(name)); }

 private:
  std::string renamed(const std::string& name) const {
    return name.starts_with(from_) ? to_ + name.substr(from_.size()) : name;
  }

  Archive& archive_;
  std::string from_, to_;
};

}  // namespace coxswain
