#include "settings/key_table.h"

#include "model/presets.h"
#include "settings/key_builder.h"
#include "settings/key_groups.h"
#include "settings/phase_table.h"

namespace coxswain {

namespace {

constexpr auto kFree = OnRestart::free;
constexpr Range kSize{.least = 0, .most = 1e6};  // so that no count of parameters overflows

void add_run(std::vector<Key>& keys) {
  using C = RunConfig;
  std::vector<std::pair<std::string, std::string>> phases;
  for (const PhaseRow& phase : phase_table()) phases.emplace_back(phase.name, phase.name);
  SectionBuilder<C>(keys, "run", &Settings::run)
      .choice("phase", &C::phase, phases, {"", "what to do"})
      .text("directory", &C::directory, "a folder", {"", "run directory: all that the run writes", kFree})
      .text("initialize_from", &C::initialize_from, "a folder, or empty",
            {"", "weights to start with: a run directory (its best or newest checkpoint) or a checkpoint's folder",
             kFree})
      .choice("initialize_weights", &C::initialize_weights,
              {{"model", WeightsKind::model}, {"average", WeightsKind::average}},
              {"", "of initialize_from: the weights as they are, or the moving average that ppo keeps", kFree})
      .choice(
          "benchmark", &C::benchmark,
          {{"pretrain", std::string("pretrain")}, {"generate", std::string("generate")}, {"ppo", std::string("ppo")}},
          {"", "what phase benchmark measures", kFree})
      .number("steps", &C::steps, kNotNegative, {"steps", "length of the whole run, restarts included", kFree})
      .number("seed", &C::seed, kNotNegative, {"", "of initial weights, data order, dropout and sampling"})
      .number(
          "wall_limit_minutes", &C::wall_limit_minutes, kNotNegative,
          {"minutes",
           "save and stop with code 75 after this time (code 64 if that is before a first step); 0: no limit", kFree})
      .number("validate_every", &C::validate_every, kNotNegative, {"steps", "between validations; 0: never", kFree})
      .number("validation_batches", &C::validation_batches, kFromOne,
              {"global batches", "held-out data of one validation", kFree})
      .number("log_every", &C::log_every, kFromOne, {"steps", "between console lines", kFree});
}

void add_model_shape(std::vector<Key>& keys, const std::string& section, ModelConfig Settings::*group) {
  using C = ModelConfig;
  std::vector<std::pair<std::string, std::string>> presets;
  for (const std::string& name : model_preset_names()) presets.emplace_back(name, name);
  SectionBuilder<C>(keys, section, group)
      // The shape itself is compared on restart, so its name may change.
      .choice("preset", &C::preset, presets, {"", "published model that gives the defaults below", kFree})
      .number("layers", &C::layers, {.least = 0, .most = 10000}, {"", "transformer blocks"})
      .number("hidden", &C::hidden, kSize, {"", "width of the residual stream"})
      .number("heads", &C::heads, kSize, {"", "query heads"})
      .number("kv_heads", &C::kv_heads, kSize, {"", "key and value heads, a divisor of heads; 0: heads"})
      .number("head_size", &C::head_size, kSize, {"", "width of a head; 0: hidden / heads"})
      .number("feed_forward", &C::feed_forward, kSize, {"", "inner width of the MLP; 0: 4 hidden"})
      .number("vocabulary", &C::vocabulary, kSize, {"tokens", "entries of the vocabulary, without padding"})
      .number("context", &C::context, {.least = 0, .most = 1e7}, {"tokens", "largest number of positions"})
      .choice("norm", &C::norm, {{"layer", NormKind::layer}, {"rms", NormKind::rms}}, {"", "LayerNorm or RMSNorm"})
      .number("norm_epsilon", &C::norm_epsilon, kPositive, {"", "added to the variance"})
      .choice("norm_position", &C::norm_position, {{"pre", NormPosition::pre}, {"post", NormPosition::post}},
              {"", "before each block (GPT-2) or after its residual sum (GPT-1)"});
}

void add_model_parts(std::vector<Key>& keys, const std::string& section, ModelConfig Settings::*group) {
  using C = ModelConfig;
  SectionBuilder<C>(keys, section, group)
      .choice("activation", &C::activation, {{"gelu", Activation::gelu}, {"silu", Activation::silu}},
              {"", "of the MLP; gelu is GPT-2's tanh form"})
      .flag("gated", &C::gated, {"", "MLP is activation(gate) * up: SwiGLU with silu, GeGLU with gelu"})
      .choice("positions", &C::positions, {{"learned", PositionKind::learned}, {"rotary", PositionKind::rotary}},
              {"", "an embedding, or rotations of queries and keys"})
      .number("rotary_base", &C::rotary_base, {.least = 1, .open_least = true}, {"", "longest wavelength / 2 pi"})
      .flag("bias", &C::bias, {"", "linear layers have biases"})
      .flag("tied_embeddings", &C::tied_embeddings, {"", "the output projection is the token embedding"})
      .choice("banded_layers", &C::banded_layers,
              {{"none", BandedLayers::none}, {"alternate", BandedLayers::alternate}},
              {"", "alternate: layers 1, 3, 5 ... see the last `band` tokens only (GPT-3)"})
      .number("band", &C::band, kFromOne, {"tokens", "width of a banded layer"})
      .number("dropout", &C::dropout, {.least = 0, .most = 1, .open_most = true},
              {"", "of a block's output, before the residual sum"})
      .number("embedding_dropout", &C::embedding_dropout, {.least = 0, .most = 1, .open_most = true},
              {"", "of the sum of embeddings"})
      .number("initial_deviation", &C::initial_deviation, kPositive,
              {"", "of normal initial weights; residual projections get 1/sqrt(2 layers) of it"})
      .choice("precision", &C::precision, {{"fp32", Precision::fp32}, {"bf16", Precision::bf16}},
              {"", "of working weights and activations; masters and sums are FP32"})
      .number("vocabulary_multiple", &C::vocabulary_multiple, kFromOne,
              {"tokens", "a shard's part of the vocabulary is padded to a multiple; never stored"});
}

}  // namespace

void add_model(std::vector<Key>& keys, const std::string& section, ModelConfig Settings::*group) {
  add_model_shape(keys, section, group);
  add_model_parts(keys, section, group);
}

void add_grid(std::vector<Key>& keys, const std::string& section, GridConfig Settings::*group) {
  using C = GridConfig;
  SectionBuilder<C>(keys, section, group)
      .number("tensor", &C::tensor, kFromOne, {"ranks", "that share each layer", kFree})
      .number("pipeline", &C::pipeline, kFromOne, {"ranks", "that share the layers out between them", kFree})
      .number("data", &C::data, kNotNegative,
              {"ranks", "that share the batch; 0: all ranks / (tensor x pipeline)", kFree})
      .number("tensor_shards", &C::tensor_shards, kNotNegative,
              {"", "pieces of every weight matrix, a multiple of tensor; fixes the bits; 0: tensor"})
      .number("data_shards", &C::data_shards, kNotNegative,
              {"", "pieces of every batch, a multiple of data; fixes the bits; 0: data"})
      .number("virtual_stages", &C::virtual_stages, kFromOne,
              {"", "interleaved pieces of the model a pipeline rank; smaller bubble, more messages", kFree})
      .number("overlap_from", &C::overlap_from, kNotNegative,
              {"elements",
               "of a result's tensor_shards blocks of rows, from which on products go block by block beside the "
               "transfer of rows between tensor ranks; fixes the bits; 0: never"});
}

namespace {

void add_batch(std::vector<Key>& keys) {
  using C = BatchConfig;
  SectionBuilder<C>(keys, "batch", &Settings::batch)
      .number("global", &C::global, {.least = 1, .most = kMostSequences}, {"sequences", "of one step, over all ranks"})
      .number("micro", &C::micro, kFromOne, {"sequences", "of one micro-batch"})
      .number("length", &C::length, kFromOne, {"tokens", "of one sequence"})
      .choice("recompute", &C::recompute,
              {{"none", Recompute::none}, {"selective", Recompute::selective}, {"full", Recompute::full}},
              {"", "in backward, to save memory: nothing, attention's inside, whole layers", kFree})
      .number("ramp_start", &C::ramp_start, kNotNegative, {"sequences", "of the first step; 0: no ramp"})
      .number("ramp_tokens", &C::ramp_tokens, kNotNegative,
              {"tokens", "over which the batch grows linearly to `global`"});
}

void add_optimizer(std::vector<Key>& keys) {
  using C = OptimizerConfig;
  constexpr Range kBelowOne{.least = 0, .most = 1, .open_most = true};
  SectionBuilder<C>(keys, "optimizer", &Settings::optimizer)
      .number("learning_rate", &C::learning_rate, kPositive, {"", "peak of the schedule", kFree})
      .number("minimum_ratio", &C::minimum_ratio, {.least = 0, .most = 1},
              {"", "floor of the schedule, as a share of the peak", kFree})
      .number("warmup_steps", &C::warmup_steps, kNotNegative, {"steps", "of linear warm-up from 0", kFree})
      .number("warmup_tokens", &C::warmup_tokens, kNotNegative, {"tokens", "the same, in tokens", kFree})
      .number("warmup_start", &C::warmup_start, {.least = 0, .most = 1},
              {"", "where the warm-up begins, as a share of the peak", kFree})
      .number("decay_steps", &C::decay_steps, kNotNegative,
              {"steps", "from the start to the floor; if both are 0: run.steps", kFree})
      .number("decay_tokens", &C::decay_tokens, kNotNegative, {"tokens", "the same, in tokens", kFree})
      .choice(
          "schedule", &C::schedule,
          {{"cosine", RateSchedule::cosine}, {"linear", RateSchedule::linear}, {"constant", RateSchedule::constant}},
          {"", "after the warm-up", kFree})
      .number("beta1", &C::beta1, kBelowOne, {"", "memory of Adam's first moment", kFree})
      .number("beta2", &C::beta2, kBelowOne, {"", "memory of Adam's second moment", kFree})
      .number("epsilon", &C::epsilon, kPositive, {"", "Adam's, outside the root", kFree})
      .number("weight_decay", &C::weight_decay, kNotNegative, {"", "decoupled; not on norms and biases", kFree})
      .number("clip_norm", &C::clip_norm, kNotNegative, {"", "of the global gradient; 0: off", kFree})
      .choice("on_nan", &C::on_nan, {{"stop", NanPolicy::stop}, {"skip", NanPolicy::skip}},
              {"", "a step whose loss or gradient is not finite: stop with code 76, or leave it out and save nothing",
               kFree})
      .number("max_skips", &C::max_skips, kNotNegative, {"steps", "left out in a row before the run stops", kFree});
}

void add_data(std::vector<Key>& keys) {
  using C = DataConfig;
  SectionBuilder<C>(keys, "data", &Settings::data)
      .text("source", &C::source, "path[:weight], ... or synthetic", {"", "token files, drawn from by weight"})
      .text("validation", &C::validation, "a path, or empty", {"", "token file of held-out text", kFree})
      .flag("shuffle", &C::shuffle, {"", "draw samples in a random order; no: in the order of the files"})
      .flag("document_mask", &C::document_mask, {"", "attention and positions end at document borders"})
      .choice("tokenizer", &C::tokenizer, {{"bytes", TokenizerKind::bytes}, {"gpt2", TokenizerKind::gpt2}},
              {"", "of phases that read or write text", kFree})
      .text("vocabulary_file", &C::vocabulary_file, "a path",
            {"", "GPT-2's encoder.json (vocab.json), or what phase vocabulary writes", kFree})
      .text("merges_file", &C::merges_file, "a path", {"", "GPT-2's vocab.bpe (merges.txt), likewise", kFree})
      .choice("on_bad_line", &C::on_bad_line, {{"stop", BadLine::stop}, {"skip", BadLine::skip}},
              {"", "a line of a JSONL file that cannot be used: stop with code 65, or leave it out and say so", kFree})
      .text("input", &C::input, "paths, ...", {"", "tokenize, vocabulary: text, JSONL or JSON files", kFree})
      .text("output", &C::output, "a path", {"", "tokenize: token file to write", kFree})
      .text("json_key", &C::json_key, "a name, or empty",
            {"", "tokenize: field of a record that holds the text; empty: the whole record, shown as in [chat]", kFree})
      .text("separator", &C::separator, "text with \\n and \\t, or empty",
            {"", "tokenize: between documents of a plain text; empty: a file is one document", kFree})
      .number("validation_share", &C::validation_share, {.least = 0, .most = 1, .open_most = true},
              {"", "tokenize: share of the documents that goes to `validation`", kFree});
}

void add_checkpoint(std::vector<Key>& keys) {
  using C = CheckpointConfig;
  SectionBuilder<C>(keys, "checkpoint", &Settings::checkpoint)
      .number("every", &C::every, kNotNegative, {"steps", "between checkpoints; 0: only at the end", kFree})
      .number("keep", &C::keep, kNotNegative,
              {"", "newest checkpoints that stay, once a step shows that the last is good; 0: all", kFree})
      .flag("background", &C::background, {"", "write from a host copy while training goes on", kFree})
      .flag("at_end", &C::at_end, {"", "one more after the last step", kFree});
}

void add_generate(std::vector<Key>& keys) {
  using C = GenerateConfig;
  SectionBuilder<C>(keys, "generate", &Settings::generate)
      .text("prompt", &C::prompt, "text with \\n and \\t", {"", "one prompt, continued as it stands", kFree})
      .text("prompts", &C::prompts, "paths, ...",
            {"", "JSONL of prompts in the form of [chat]; another ending: one a line, as it stands", kFree})
      .number("synthetic_prompts", &C::synthetic_prompts, kNotNegative,
              {"prompts", "of random tokens to a model of random weights, for benchmarks", kFree})
      .number("synthetic_prompt_tokens", &C::synthetic_prompt_tokens, kFromOne, {"tokens", "of each of these", kFree})
      .text("output", &C::output, "a path, or empty", {"", "JSONL of the responses; empty: the console", kFree})
      .number("samples", &C::samples, kFromOne, {"responses", "to each prompt", kFree})
      .number("slots", &C::slots, {.least = 1, .most = 65536},
              {"responses", "that a data rank works on at once", kFree})
      .flag(
          "compress_weights", &C::compress_weights,
          {"", "generate, evaluate: a few slots on a CPU read weights without loss in fewer bits, kept beside", kFree})
      .number("max_new_tokens", &C::max_new_tokens, kFromOne, {"tokens", "longest response", kFree})
      .number("min_new_tokens", &C::min_new_tokens, kNotNegative, {"tokens", "before that, no end is drawn", kFree})
      .number("temperature", &C::temperature, kNotNegative, {"", "0: always the likeliest token", kFree})
      .number("top_k", &C::top_k, kNotNegative, {"tokens", "the likeliest ones that are drawn from; 0: all", kFree})
      .number("top_p", &C::top_p, {.least = 0, .most = 1, .open_least = true},
              {"", "probability of the likeliest tokens that are drawn from, after top_k", kFree})
      .text("stop", &C::stop, "text with \\n and \\t, or empty", {"", "a text that ends a response as well", kFree});
}

void add_device(std::vector<Key>& keys) {
  SectionBuilder<DeviceConfig>(keys, "device", &Settings::device)
      .choice("kind", &DeviceConfig::kind,
              {{"auto", DeviceKind::automatic}, {"cpu", DeviceKind::cpu}, {"cuda", DeviceKind::cuda}},
              {"", "processor that does the arithmetic", kFree})
      .number("ranks_per_gpu", &DeviceConfig::ranks_per_gpu, kFromOne,
              {"ranks", "that share a GPU, to try a grid on fewer of them: slower, and communication is staged", kFree})
      .flag("graphs", &DeviceConfig::graphs,
            {"", "a GPU keeps generation's steps as CUDA graphs; no: it is asked for each operation", kFree});
  using C = CommunicationConfig;
  SectionBuilder<C>(keys, "device", &Settings::communication)
      .choice("communication", &C::transport,
              {{"auto", Transport::automatic}, {"nccl", Transport::nccl}, {"staged", Transport::staged}},
              {"", "how tensors get from GPU to GPU; staged: through memory of the host", kFree})
      .number("hang_seconds", &C::hang_seconds, kPositive,
              {"seconds", "that an operation of NCCL may take; then the job ends with code 78", kFree});
  SectionBuilder<MachineConfig>(keys, "device", &Settings::machine)
      .text("machine", &MachineConfig::file, "path of a JSON file; empty: none",
            {"", "node as in inputs/machines: --check says whether the plan fits its GPUs", kFree});
}

}  // namespace

const std::vector<Section>& deck_sections() {
  static const std::vector<Section> sections = {
      {"run", "which phase, where and how long"},
      {"model", "shape of the decoder; a preset brings other defaults than those shown"},
      {"grid", "how ranks share the work; only the shard counts touch the result"},
      {"batch", "what one step trains on"},
      {"optimizer", "AdamW and its learning rate"},
      {"data", "where tokens come from"},
      {"chat", "how a conversation becomes text: role markers and the end of a response"},
      {"prepare", "prompts, demonstrations or comparisons cleaned and split"},
      {"checkpoint", "when the run is saved"},
      {"generate", "sampling from a model"},
      {"reward", "comparisons that a reward model learns from; [batch] counts prompts there"},
      {"score", "responses that a reward model scores"},
      {"reward_model", "shape of reward and value model; without layers: as the checkpoint says"},
      {"reward_grid", "how the same ranks share the reward and the value model"},
      {"sft", "supervised fine-tuning on demonstrations"},
      {"ppo", "proximal policy optimization, with pre-training text (PPO-ptx) or without"},
      {"evaluate", "what a policy is worth"},
      {"device", "processor, and the way between GPUs"},
  };
  return sections;
}

const std::vector<Key>& deck_keys() {
  static const std::vector<Key> keys = [] {
    std::vector<Key> all;
    add_run(all);
    add_model(all, "model", &Settings::model);
    add_grid(all, "grid", &Settings::grid);
    add_batch(all);
    add_optimizer(all);
    add_data(all);
    add_record_keys(all);
    add_checkpoint(all);
    add_generate(all);
    add_alignment_keys(all);
    add_device(all);
    return all;
  }();
  return keys;
}

const Key* find_key(const std::string& full_name) {
  for (const Key& key : deck_keys()) {
    if (key.full_name() == full_name) return &key;
  }
  return nullptr;
}

}  // namespace coxswain
