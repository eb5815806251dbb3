// A run of layers that one pipeline rank computes: the first stage embeds, the last one ends in the head.
//
// Its parts, in the order of a forward, are the embedding, each layer and the head: values come and gradients leave
// part by part, while the stage works on others.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "model/embedding.h"
#include "model/head.h"
#include "model/layer.h"

namespace coxswain {

class Stage {
 public:
  // All that one micro-batch keeps here between forward and backward.
  struct Saved {
    Batch batch;
    std::vector<Layer::Saved> layers;
    Head::Saved head;
  };

  // Chunk `index` of `count`, with the layers that deal_layers gives it.
  Stage(const ModelContext& context, int index, int count);

  bool is_first() const { return embedding_ != nullptr; }
  bool is_last() const { return head_ != nullptr; }
  // x [m / P_t, h], empty on the first stage -> the same for the next stage, empty on the last one.
  Tensor forward(Tensor x, Recompute recompute, Saved& saved);
  // Forward without a backward to come: keeps nothing but the head's results.
  Tensor evaluate(Tensor x, Saved& saved);
  // dy, empty on the last stage, where output_gradient (f32 [m]) stands for it -> dx, empty on the first stage.
  // `finished` is told of each part when its gradients have this micro-batch's share, the last part first.
  using PartHook = std::function<void(int part)>;
  Tensor backward(Tensor dy, TensorView output_gradient, Saved& saved, const PartHook& finished = {});
  // Rows while generating: x [m, h], empty on the first stage -> the same for the next stage, or on the last one the
  // logits f32 [S, s, v / S] of the batch's sampled rows.
  DecodeRows decode(DecodeRows x, const DecodeBatch& batch, const KvCache& cache);
  void visit(const ParameterVisitor& visitor);

  int parts() const { return (embedding_ ? 1 : 0) + layers() + (head_ ? 1 : 0); }
  void visit(int part, const ParameterVisitor& visitor);
  // Whatever reads a part's values tells the hook of the part before.
  void before_use(PartHook hook) { before_use_ = std::move(hook); }

  Embedding* embedding() { return embedding_.get(); }
  Head* head() { return head_.get(); }
  int first_layer() const { return first_layer_; }
  int layers() const { return static_cast<int>(layers_.size()); }

 private:
  int part_of_layer(std::size_t layer) const { return static_cast<int>(layer) + (embedding_ ? 1 : 0); }
  Layer& use_layer(std::size_t layer);
  Embedding& use_embedding();
  Head& use_head();

  int first_layer_ = 0;
  std::unique_ptr<Embedding> embedding_;
  std::vector<std::unique_ptr<Layer>> layers_;
  std::unique_ptr<Head> head_;
  PartHook before_use_;
};

// How many layers each of `stages` consecutive stages gets, so that the slowest is as fast as can be: the last one,
// which has the output projection beside its layers, gets fewer where that projection weighs as much as whole layers. A
// layer's weight is that of its products and of attention over the model's whole context.
std::vector<int> deal_layers(const ModelConfig& config, int stages);

// Every parameter of the whole model in its one order, without memory: names and places.
std::vector<Parameter> model_parameters(const ModelContext& context);

}  // namespace coxswain
