#include "model/config.h"

#include <fmt/format.h>

#include "base/error.h"

namespace coxswain {

namespace {

template <class Value>
void require(bool good, const char* key, const Value& value, const std::string& why) {
  if (!good) throw Error(ExitCode::usage, fmt::format("[model] {} = {} {}", key, value, why));
}

void require_given(int value, const char* key) {
  require(value > 0, key, value, "must be given and positive, or [model] preset must name a model that brings it");
}

void require_share(double value, const char* key) {
  require(value >= 0.0 && value < 1.0, key, value, "is no probability: use 0 (off) or more, and less than 1");
}

// Every layer has four products. In double: counts beyond the limit would overflow.
double about_parameters(const ModelConfig& model) {
  const double attention = 4.0 * model.heads * model.head_size, rows = attention + 3.0 * model.feed_forward;
  return (model.layers * rows + model.vocabulary + model.context) * model.hidden;
}

}  // namespace

void ModelConfig::check() {
  require_given(layers, "layers");
  require_given(hidden, "hidden");
  require_given(heads, "heads");
  require_given(vocabulary, "vocabulary");
  require_given(context, "context");
  if (kv_heads == 0) kv_heads = heads;
  if (head_size == 0) {
    require(hidden % heads == 0, "heads", heads,
            fmt::format("does not divide [model] hidden = {}; use a divisor, or give head_size", hidden));
    head_size = hidden / heads;
  }
  if (feed_forward == 0) feed_forward = 4 * hidden;
  require(kv_heads > 0 && heads % kv_heads == 0, "kv_heads", kv_heads,
          fmt::format("does not divide [model] heads = {}; use a divisor, or 0 for as many as heads", heads));
  require(head_size > 0, "head_size", head_size, "must be positive, or 0 for hidden / heads");
  require(positions == PositionKind::learned || head_size % 2 == 0, "head_size", head_size,
          "is odd, but [model] positions = rotary turns pairs: use an even size");
  require(feed_forward > 0, "feed_forward", feed_forward, "must be positive, or 0 for 4 hidden");
  require(activation != Activation::none, "activation", "none", "is not possible here: use gelu or silu");
  constexpr double kMostParameters = 1e14;  // of which even a plan takes a second
  require(
      about_parameters(*this) < kMostParameters, "layers", layers,
      fmt::format("of [model] hidden = {} make some {:.0e} parameters, and {:.0e} are the most; use fewer or smaller "
                  "layers",
                  hidden, about_parameters(*this), kMostParameters));
  if (head == HeadKind::scalar) tied_embeddings = false;
  require(norm_epsilon > 0.0, "norm_epsilon", norm_epsilon, "must be positive");
  require(rotary_base > 1.0, "rotary_base", rotary_base, "must be larger than 1");
  require(banded_layers == BandedLayers::none || band > 0, "band", band,
          "must be positive when [model] banded_layers = alternate");
  require(initial_deviation > 0.0, "initial_deviation", initial_deviation, "must be positive");
  require(vocabulary_multiple > 0, "vocabulary_multiple", vocabulary_multiple, "must be positive");
  require_share(dropout, "dropout");
  require_share(embedding_dropout, "embedding_dropout");
}

std::int64_t ModelConfig::head_parameters() const {
  return head == HeadKind::scalar ? hidden + 1 : static_cast<std::int64_t>(vocabulary) * hidden;
}

std::int64_t ModelConfig::multiplied_parameters() const {
  const std::int64_t h = hidden, f = feed_forward, d = head_size, a = heads, g = kv_heads;
  const std::int64_t qkv = (a + 2 * g) * d;
  const std::int64_t inner = gated ? 2 * f : f;
  const std::int64_t weights = qkv * h + a * d * h + inner * h + f * h;
  const std::int64_t biases = bias ? qkv + h + inner + h : 0;
  const std::int64_t one_norm = norm == NormKind::layer ? 2 * h : h;
  const std::int64_t final_norm =
      norm_position == NormPosition::pre ? one_norm : 0;  // post-norm ends in a norm already
  return layers * (weights + biases + 2 * one_norm) + final_norm + head_parameters();
}

std::int64_t ModelConfig::parameter_count() const {
  const std::int64_t h = hidden;
  const std::int64_t input = tied_embeddings ? 0 : static_cast<std::int64_t>(vocabulary) * h;
  const std::int64_t places = positions == PositionKind::learned ? context * h : 0;
  return multiplied_parameters() + input + places;
}

double ModelConfig::flops_per_token(int length) const {
  const double attention = 12.0 * layers * static_cast<double>(heads) * head_size * length;
  return 6.0 * static_cast<double>(multiplied_parameters()) + attention;
}

int ModelConfig::padded_vocabulary(int tensor_shards) const {
  const int unit = vocabulary_multiple * tensor_shards;
  return (vocabulary + unit - 1) / unit * unit;
}

}  // namespace coxswain
