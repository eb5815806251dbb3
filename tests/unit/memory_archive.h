// An Archive in memory, for tests of what modules keep: write with one, read with one made from it.
#pragma once

#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "tensor/archive.h"

namespace coxswain {

class MemoryArchive : public Archive {
 public:
  MemoryArchive() = default;
  // For reading what another one took.
  static MemoryArchive reader(const MemoryArchive& written) {
    MemoryArchive archive = written;
    archive.reading_ = true;
    return archive;
  }

  bool reading() const override { return reading_; }
  void tensor(const Piece& piece) override { throw std::logic_error("no tensor is expected: " + piece.name); }
  void value(const std::string& name, std::int64_t& value) override { exchange(integers_, name, value); }
  void value(const std::string& name, double& value) override { exchange(reals_, name, value); }
  void value(const std::string& name, std::string& value) override { exchange(texts_, name, value); }
  void value(const std::string& name, std::vector<double>& value) override { exchange(lists_, name, value); }
  bool has(const std::string& name) const override {
    return integers_.count(name) + reals_.count(name) + texts_.count(name) + lists_.count(name) > 0;
  }

 private:
  template <class T>
  void exchange(std::map<std::string, T>& values, const std::string& name, T& value) {
    if (reading_) {
      value = values.at(name);
    } else if (!values.emplace(name, value).second) {
      throw std::logic_error("written twice: " + name);
    }
  }

  bool reading_ = false;
  std::map<std::string, std::int64_t> integers_;
  std::map<std::string, double> reals_;
  std::map<std::string, std::string> texts_;
  std::map<std::string, std::vector<double>> lists_;
};

}  // namespace coxswain
