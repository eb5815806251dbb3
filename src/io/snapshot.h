// This rank's share of a run's state, copied to host memory so that training can go on while it is written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "kernels/backend.h"
#include "tensor/archive.h"

namespace coxswain {

using Visit = std::function<void(Archive&)>;
using Value = std::variant<std::int64_t, double, std::string, std::vector<double>>;

std::uint64_t hash_value(const Value& value);

class Snapshot {
 public:
  struct Box {
    std::string name;
    DType dtype = DType::f32;
    Shape global, offset, count;
    std::size_t place = 0;  // in the buffer
    std::size_t bytes = 0;
  };

  // The buffer is kept from one call to the next.
  void take(Backend& backend, const Visit& visit);
  void prepare(const Visit& visit);  // the buffer alone, its pages touched
  void clear();                      // all but the buffer
  const std::vector<Box>& boxes() const { return boxes_; }
  const std::map<std::string, Value>& values() const { return values_; }
  const std::byte* memory(const Box& box) const { return buffer_.get() + box.place; }
  std::size_t bytes() const { return bytes_; }

 private:
  std::vector<TensorView> collect(const Visit& visit);
  bool grow();  // whether the buffer is new
  std::vector<Box> boxes_;
  std::map<std::string, Value> values_;
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::unique_ptr<std::byte[], Free> buffer_;
  std::size_t bytes_ = 0, capacity_ = 0;
};

}  // namespace coxswain
