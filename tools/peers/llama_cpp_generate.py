#!/usr/bin/env python3
"""Generation speed of llama.cpp and Coxswain on the GPT-2 124M shape, in turns, on this machine.

    CMAKE_ARGS="-DGGML_NATIVE=ON -DGGML_OPENMP=ON -DLLAVA_BUILD=OFF" \\
        pip install --no-binary llama-cpp-python llama-cpp-python gguf numpy     # compiles llama.cpp for this processor
    python3 tools/peers/llama_cpp_generate.py --tune                 # which settings suit llama.cpp best here
    python3 tools/peers/llama_cpp_generate.py [--dtype bf16] [--batch 8] [--flash on] [--cache f16] ...

Both do inputs/benchmark/gpt2_124m_generate.ini: random weights, prompts of 64 random tokens, exactly 128 new tokens each,
`batch` sequences at once until all prompts are done. The figure is generated tokens per second of the whole time, prompt
processing included; loading is not, and llama.cpp has generated once before. llama.cpp runs through its C interface: a batch
of one token a sequence, its sampler at temperature 1 (`draw`), the likeliest token (`greedy`), or none at all (`none`: any
token, as its own llama-batched-bench does; no generation, but the bound of what a better sampler could give).
The first line says what llama.cpp was compiled for: on a processor with AVX-512 it must name AVX512 and AVX512_BF16.

With -DGGML_BLAS=ON -DGGML_BLAS_VENDOR=OpenBLAS as well, products with 32 rows or more go to OpenBLAS: faster in FP32 (it
matters for prompts, and for all at batch 32), slower in BF16. To compare with the best of llama.cpp, make both builds, in an
environment each, and run with both. OpenBLAS must take its AVX-512 kernels: OPENBLAS_CORETYPE=SkylakeX if it does not know the
processor.
"""
import argparse
import ctypes
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import gguf
import llama_cpp
import numpy

LAYERS, HIDDEN, HEADS, VOCABULARY, CONTEXT = 12, 768, 12, 50257, 1024
ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE_TYPES = {name: int(gguf.GGMLQuantizationType[name.upper()]) for name in ("f32", "f16", "bf16")}
FLASH = {"off": 0, "on": 1}


def bfloat16(values):
    """Rounded to the nearest, as bytes."""
    bits = values.astype(numpy.float32).view(numpy.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(numpy.uint16).view(numpy.uint8)


def write_model(path, dtype):
    """GPT-2 124M with random weights; matrices in `dtype`, vectors and positions in FP32, as llama.cpp's converter has them."""
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(4 * HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("no_vocab")  # tokens go in and out as numbers
    random = numpy.random.default_rng(0)

    def matrix(name, *shape, keep=False):
        values = random.normal(0, 0.02, shape).astype(numpy.float32)
        if dtype == "bf16" and not keep:
            writer.add_tensor(f"{name}.weight", bfloat16(values), raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            writer.add_tensor(f"{name}.weight", values)

    def norm(name):
        writer.add_tensor(f"{name}.weight", numpy.ones(HIDDEN, numpy.float32))
        writer.add_tensor(f"{name}.bias", numpy.zeros(HIDDEN, numpy.float32))

    def linear(name, out, into):
        matrix(name, out, into)
        writer.add_tensor(f"{name}.bias", numpy.zeros(out, numpy.float32))

    matrix("token_embd", VOCABULARY, HIDDEN)  # the output projection as well
    matrix("position_embd", CONTEXT, HIDDEN, keep=True)
    norm("output_norm")
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        norm(block + "attn_norm")
        linear(block + "attn_qkv", 3 * HIDDEN, HIDDEN)
        linear(block + "attn_output", HIDDEN, HIDDEN)
        norm(block + "ffn_norm")
        linear(block + "ffn_up", 4 * HIDDEN, HIDDEN)
        linear(block + "ffn_down", HIDDEN, 4 * HIDDEN)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def load_model(folder, dtype):
    path = pathlib.Path(folder) / f"gpt2_{dtype}.gguf"
    write_model(path, dtype)
    parameters = llama_cpp.llama_model_default_params()
    parameters.n_gpu_layers = 0
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
    if not model:
        raise SystemExit(f"llama.cpp cannot load {path}")
    return model


class Generator:
    """A context of llama.cpp for `batch` sequences of prompt + new tokens."""

    def __init__(self, model, batch, options, settings):
        self.batch, self.options = batch, options
        self.flash, self.cache, self.unified, self.micro_batch = settings
        parameters = llama_cpp.llama_context_default_params()
        # llama.cpp pads a sequence's cache to a multiple of 256 cells; a cache of its own each means n_ctx / n_seq_max.
        parameters.n_ctx = batch * (options.prompt + options.new)
        parameters.n_batch = max(batch * options.prompt, self.micro_batch)
        parameters.n_ubatch = self.micro_batch
        parameters.n_seq_max = batch
        parameters.n_threads = parameters.n_threads_batch = options.threads
        parameters.flash_attn_type = FLASH[self.flash]
        parameters.type_k = parameters.type_v = CACHE_TYPES[self.cache]
        parameters.kv_unified = self.unified == "one"
        parameters.no_perf = True
        self.context = llama_cpp.llama_init_from_model(model, parameters)
        if not self.context:
            raise SystemExit(f"llama.cpp makes no context with {self.describe()}")
        self.buffer = llama_cpp.llama_batch_init(batch * options.prompt, 0, 1)
        self.random = numpy.random.default_rng(1)
        self.sampler = self.make_sampler()

    def describe(self):
        return f"flash attention {self.flash}, cache {self.cache} {self.unified}, micro batch {self.micro_batch}"

    def make_sampler(self):
        sampler = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        greedy = self.options.sampler == "greedy"
        llama_cpp.llama_sampler_chain_add(
            sampler, llama_cpp.llama_sampler_init_greedy() if greedy else llama_cpp.llama_sampler_init_dist(1))
        return sampler

    def decode(self, tokens, first_position):
        """tokens [batch, count] at positions first_position ... -> the next token of each sequence."""
        count, at, last = tokens.shape[1], 0, []
        for sequence, row in enumerate(tokens.tolist()):
            for offset, token in enumerate(row):
                self.buffer.token[at], self.buffer.pos[at] = token, first_position + offset
                self.buffer.n_seq_id[at], self.buffer.seq_id[at][0] = 1, sequence
                self.buffer.logits[at] = offset == count - 1
                at += 1
            last.append(at - 1)
        self.buffer.n_tokens = at
        status = llama_cpp.llama_decode(self.context, self.buffer)
        if status != 0:
            raise SystemExit(f"llama_decode: {status}")
        if self.options.sampler == "none":
            llama_cpp.llama_synchronize(self.context)
            return self.random.integers(0, VOCABULARY, (self.batch, 1))
        return numpy.array([[llama_cpp.llama_sampler_sample(self.sampler, self.context, index)] for index in last])

    def run(self, prompts):
        """prompts [batch, prompt], one group -> the tokens [batch, new]."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), False)
        tokens = [self.decode(prompts, 0)]
        for position in range(prompts.shape[1], prompts.shape[1] + self.options.new - 1):
            tokens.append(self.decode(tokens[-1], position))
        return numpy.concatenate(tokens, axis=1)

    def tokens_per_second(self):
        groups = self.options.prompts // self.batch
        prompts = self.random.integers(0, VOCABULARY, (groups, self.batch, self.options.prompt))
        start = time.perf_counter()
        made = sum(self.run(group).size for group in prompts)
        return made / (time.perf_counter() - start)

    def close(self):
        llama_cpp.llama_sampler_free(self.sampler)
        llama_cpp.llama_batch_free(self.buffer)
        llama_cpp.llama_free(self.context)


def coxswain(options, dtype, batch, folder):
    subprocess.run([options.coxswain, ROOT / "inputs/benchmark/gpt2_124m_generate.ini", f"--run.directory={folder}/run",
                    f"--model.precision={dtype}", f"--generate.slots={batch}",
                    f"--generate.synthetic_prompts={options.prompts}", f"--batch.length={options.prompt + options.new}",
                    f"--generate.synthetic_prompt_tokens={options.prompt}", f"--generate.min_new_tokens={options.new}",
                    f"--generate.max_new_tokens={options.new}"], check=True, stdout=subprocess.DEVNULL,
                   env=os.environ | {"OMP_NUM_THREADS": str(options.threads)})
    return json.loads((pathlib.Path(folder) / "run/timing.jsonl").read_text().splitlines()[-1])["tokens_per_second"]


def tune(options, model, dtype, batch):
    """Every combination of llama.cpp's settings, in turns, `rounds` times."""
    every = list(itertools.product(options.flash, options.cache, options.unified, options.micro_batch))
    rates = {settings: [] for settings in every}
    for _ in range(options.rounds):
        for settings in every:
            generator = Generator(model, batch, options, settings)
            generator.run(numpy.zeros((batch, options.prompt), numpy.int64))
            rates[settings].append(generator.tokens_per_second())
            generator.close()
    for settings in sorted(every, key=lambda one: -statistics.median(rates[one])):
        flash, cache, unified, micro_batch = settings
        print(f"{dtype} batch {batch:2}: {statistics.median(rates[settings]):7.1f} tokens/s  --flash {flash} --cache {cache} "
              f"--unified {unified} --micro_batch {micro_batch}", flush=True)


def compare(options, model, dtype, batch):
    settings = options.flash[0], options.cache[0], options.unified[0], options.micro_batch[0]
    generator = Generator(model, batch, options, settings)
    generator.run(numpy.zeros((batch, options.prompt), numpy.int64))
    theirs, ours = [], []
    for _ in range(options.rounds):
        theirs.append(generator.tokens_per_second())
        if options.coxswain:
            with tempfile.TemporaryDirectory() as folder:
                ours.append(coxswain(options, dtype, batch, folder))
    generator.close()
    line = (f"{dtype} batch {batch:2} {options.prompt}+{options.new} threads {options.threads}: "
            f"llama.cpp {statistics.median(theirs):.0f}")
    if ours:
        line += f", Coxswain {statistics.median(ours):.0f}, ratio {statistics.median(ours) / statistics.median(theirs):.2f}"
    print(f"{line} tokens/s  (llama.cpp {' '.join(f'{rate:.0f}' for rate in theirs)}; "
          f"Coxswain {' '.join(f'{rate:.0f}' for rate in ours) or '-'})", flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dtype", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16"])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 8, 32])
    for name, value in [("prompts", 32), ("prompt", 64), ("new", 128), ("threads", 2), ("rounds", 3)]:
        parser.add_argument("--" + name, type=int, default=value)
    parser.add_argument("--sampler", default="draw", choices=["draw", "greedy", "none"])
    parser.add_argument("--tune", action="store_true", help="every combination of the settings below, llama.cpp alone")
    parser.add_argument("--flash", nargs="+", choices=list(FLASH))
    parser.add_argument("--cache", nargs="+", choices=list(CACHE_TYPES))
    parser.add_argument("--unified", nargs="+", choices=["own", "one"], help="a cache a sequence, or one for all")
    parser.add_argument("--micro_batch", nargs="+", type=int)
    parser.add_argument("--coxswain", default=str(ROOT / "build/release/coxswain"), help="empty: llama.cpp alone")
    options = parser.parse_args()
    if any(options.prompts % batch for batch in options.batch):
        parser.error("--prompts must be a multiple of every --batch")
    options.flash = options.flash or (["off", "on"] if options.tune else ["on"])
    options.cache = options.cache or (["f16", "f32"] if options.tune else ["f16"])
    options.unified = options.unified or (["own", "one"] if options.tune else ["own"])
    options.micro_batch = options.micro_batch or ([512, 2048] if options.tune else [2048])
    return options


@llama_cpp.llama_log_callback
def log_errors(level, text, _):
    if level == 4:  # GGML_LOG_LEVEL_ERROR; 5 goes on with the text before, progress dots too
        sys.stderr.write(text.decode(errors="replace"))


def main():
    options = parse()
    llama_cpp.llama_log_set(log_errors, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    print(f"llama-cpp-python {llama_cpp.__version__}: {llama_cpp.llama_print_system_info().decode().strip()}", flush=True)
    print(f"from {llama_cpp.llama_cpp._base_path}, sampler {options.sampler}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for dtype in options.dtype:
            model = load_model(folder, dtype)
            for batch in options.batch:
                (tune if options.tune else compare)(options, model, dtype, batch)
            llama_cpp.llama_model_free(model)


if __name__ == "__main__":
    main()
