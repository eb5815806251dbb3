// This rank's part of a model: its stages (one for each virtual stage) and the memory of their parameters, a buffer for
// each part of a stage.
//
// A tied embedding has two uses, on the first and on the last stage. Each use has a buffer with a gradient of its own,
// so that their sum has one order on every grid; where both uses are on one rank they share the values.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/parameter_buffer.h"
#include "model/stage.h"

namespace coxswain {

enum class ModelUse { training, inference };  // inference: no memory for gradients

class Model {
 public:
  explicit Model(const ModelContext& context, ModelUse use = ModelUse::training);

  const ModelContext& context() const { return context_; }
  int stages() const { return static_cast<int>(stages_.size()); }
  Stage& stage(int chunk) { return *stages_[static_cast<std::size_t>(chunk)]; }
  // In the order of a forward.
  const std::vector<std::unique_ptr<ParameterBuffer>>& buffers() const { return buffers_; }
  // Which of them a part of a chunk's stage has: its own, and that of a tied use; one that would be empty there is not.
  const std::vector<std::size_t>& buffers_of(int chunk, int part) const {
    return parts_[static_cast<std::size_t>(chunk)][static_cast<std::size_t>(part)];
  }
  ParameterBuffer* tied_input() const { return tied_input_; }  // null where the use is on another rank
  ParameterBuffer* tied_output() const { return tied_output_; }

  std::vector<TensorView> multiplied_weights();  // of every matrix [outputs, inputs] of this rank, each shard

  // Updated values may be on their way here from other data ranks. A pass through a stage waits for those of a part
  // when it gets there; whatever else looks at or changes values waits for all.
  void await_values();

  // Weights to host memory, and back: while other models work, a model that is only looked at need not fill the device.
  // Not `changed` since they came back: nothing has to travel. They may be on their way back while others work.
  void park(bool changed = true);
  void begin_unpark();
  void unpark();

  // Place of a unit in the one order of all units of the whole model.
  std::int64_t unit_index(const ParameterUnit& unit) const;
  std::int64_t unit_count() const { return unit_count_; }

 private:
  std::vector<std::size_t> make_buffers(Stage& stage, const std::string& name, int part, bool gradients);

  const ModelContext& context_;
  std::vector<std::unique_ptr<Stage>> stages_;
  std::vector<std::unique_ptr<ParameterBuffer>> buffers_;
  std::vector<std::vector<std::vector<std::size_t>>> parts_;  // [chunk][part]: places in buffers_
  ParameterBuffer* tied_input_ = nullptr;
  ParameterBuffer* tied_output_ = nullptr;
  std::map<std::string, std::int64_t> first_unit_;
  std::int64_t unit_count_ = 0;
};

}  // namespace coxswain
