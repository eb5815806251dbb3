// The same archive under longer names: where one run's state holds several models, each has a prefix of its own.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tensor/archive.h"

namespace coxswain {

class PrefixedArchive final : public Archive {
 public:
  PrefixedArchive(Archive& archive, std::string prefix) : archive_(archive), prefix_(std::move(prefix)) {}

  bool reading() const override { return archive_.reading(); }
  void tensor(const Piece& piece) override {
    Piece named = piece;
    named.name = prefix_ + piece.name;
    archive_.tensor(named);
  }
  void value(const std::string& name, std::int64_t& value) override { archive_.value(prefix_ + name, value); }
  void value(const std::string& name, double& value) override { archive_.value(prefix_ + name, value); }
  void value(const std::string& name, std::string& value) override { archive_.value(prefix_ + name, value); }
  void value(const std::string& name, std::vector<double>& value) override { archive_.value(prefix_ + name, value); }
  bool has(const std::string& name) const override { return archive_.has(prefix_ + name); }

 private:
  Archive& archive_;
  std::string prefix_;
};

}  // namespace coxswain
