// The visitor that every module with state accepts, for writing and for reading alike. io/checkpoint implements it.
//
//   void Optimizer::visit(Archive& archive) {
//     archive.value("optimizer/step", step_);
//     for (...) archive.tensor({.name = "optimizer/moment1/" + p.name, ...});
//   }
// Names are global, '/'-separated, the same on every grid. Values are the same on every rank. A tensor is presented
// piece by piece: each rank shows the boxes that it owns when writing (each element of the global tensor exactly once
// over all ranks) and every box that it needs when reading (any overlap between ranks).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/view.h"

namespace coxswain {

struct Piece {
  std::string name;
  Shape global;         // the whole tensor
  Shape offset, count;  // this box, same rank as global
  TensorView memory;    // dense, count's elements; on the backend's memory
};

class Archive {
 public:
  virtual ~Archive() = default;
  virtual bool reading() const = 0;
  virtual void tensor(const Piece& piece) = 0;
  virtual void value(const std::string& name, std::int64_t& value) = 0;
  virtual void value(const std::string& name, double& value) = 0;
  virtual void value(const std::string& name, std::string& value) = 0;
  virtual void value(const std::string& name, std::vector<double>& value) = 0;
  // Reading only: whether a checkpoint has this name (weights alone, or a whole run's state).
  virtual bool has(const std::string& name) const = 0;
};

}  // namespace coxswain
