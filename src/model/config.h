// The shape of a decoder: one description covers GPT-1 (post-norm), GPT-2, GPT-3 (banded layers) and LLaMA.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/backend.h"
#include "kernels/view.h"

namespace coxswain {

enum class NormPosition { pre, post };        // before each block (GPT-2) or after its residual sum (GPT-1)
enum class PositionKind { learned, rotary };  // an embedding of context rows, or rotations of queries and keys
enum class BandedLayers { none, alternate };  // alternate: layers 1, 3, 5 ... see the last `band` tokens only (GPT-3)
// What a model ends in: logits over the vocabulary, or one number a token (reward and value models).
enum class HeadKind { language, scalar };
enum class Precision { fp32, bf16 };  // of working weights and activations; masters are FP32 either way

struct ModelConfig {
  std::string preset = "custom";  // where the other values come from; "custom": from the deck alone
  int layers = 0;                 // L
  int hidden = 0;                 // h
  int heads = 0;                  // a
  int kv_heads = 0;               // g; 0: heads. Fewer: grouped-query attention
  int head_size = 0;              // d; 0: hidden / heads
  int feed_forward = 0;           // f; 0: 4 hidden
  int vocabulary = 0;             // v, unpadded
  int context = 0;                // largest number of positions
  NormKind norm = NormKind::layer;
  double norm_epsilon = 1e-5;
  NormPosition norm_position = NormPosition::pre;
  Activation activation = Activation::gelu;
  bool gated = false;  // feed-forward is activation(gate) * up: SwiGLU with silu, GeGLU with gelu
  PositionKind positions = PositionKind::learned;
  double rotary_base = 10000.0;
  bool bias = true;  // linear layers have biases
  HeadKind head = HeadKind::language;
  bool tied_embeddings = true;  // the output projection is the token embedding; a scalar head has no use for it
  BandedLayers banded_layers = BandedLayers::none;
  int band = 256;        // width of a banded layer, in tokens
  double dropout = 0.0;  // of each block's output, before the residual sum
  double embedding_dropout = 0.0;
  double initial_deviation = 0.02;  // of normal weights; residual projections get 1/sqrt(2 L) of it
  Precision precision = Precision::fp32;
  int vocabulary_multiple = 128;  // a shard's columns of the vocabulary are padded to a multiple of this

  // Fills in what follows from other values (kv_heads, head_size, feed_forward) and throws Error(usage) whose message
  // starts with "[model] key = value". The functions below want a checked config.
  void check();

  std::int64_t parameter_count() const;  // unpadded; a tied output projection counts once
  std::int64_t head_parameters() const;  // of the output projection, tied or not
  // Weights that a token is multiplied with: all but the input embeddings; the output projection counts, tied or not.
  std::int64_t multiplied_parameters() const;
  // FLOP of a forward and a backward a token, without recomputation: 6 N + 12 L (a d) t, N = multiplied_parameters().
  // The usual accounting (Narayanan et al. 2021): causality and bands are not deducted.
  double flops_per_token(int length) const;
  // Columns over all shards, so that each shard has the same multiple of vocabulary_multiple.
  int padded_vocabulary(int tensor_shards) const;

  // Band of this layer's attention as AttentionMask wants it: 0 for dense layers.
  int band_of_layer(int layer) const { return banded_layers == BandedLayers::alternate && layer % 2 == 1 ? band : 0; }
  DType working_type() const { return precision == Precision::bf16 ? DType::bf16 : DType::f32; }

  friend bool operator==(const ModelConfig&, const ModelConfig&) = default;
};

}  // namespace coxswain
