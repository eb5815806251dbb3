// This rank's share of a run's state, copied to host memory so that training can go on while it is written. Another
// thread may follow the copy, box by box.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "io/progress.h"
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

  // What there is to copy, the values, and the memory for it, which is kept from one call to the next. No bytes yet.
  void plan(const Visit& visit);
  // All boxes, in their order, beside what the backend is asked for next (Backend::download_aside). The state must not
  // have changed since plan().
  void copy(Backend& backend);
  void prepare(const Visit& visit);  // the buffer alone, its pages touched
  void clear();                      // all but the buffer
  const std::vector<Box>& boxes() const { return boxes_; }
  const std::map<std::string, Value>& values() const { return values_; }
  // Waits until the box has been copied. Throws what the copy has thrown.
  const std::byte* memory(const Box& box) const;
  std::size_t bytes() const { return bytes_; }

 private:
  void collect(const Visit& visit);
  bool grow();  // whether the buffer is new
  std::vector<Box> boxes_;
  std::vector<TensorView> views_;  // where the boxes come from
  std::map<std::string, Value> values_;
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::unique_ptr<std::byte[], Free> buffer_;
  std::size_t bytes_ = 0, capacity_ = 0;
  Progress copied_;
  std::exception_ptr error_;  // the first one of the copy; set before `copied_` gives up
};

}  // namespace coxswain
