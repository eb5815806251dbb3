#!/usr/bin/env python3
"""Breaks the CUDA kernels one line at a time and runs the tests on the emulated GPU: every mutant must be caught.

usage: mutants.py BUILD [WORD ...]   BUILD: a folder built with preset `release`; WORD: only mutants whose file or text has it
"""
import json
import pathlib
import re
import shlex
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SEEDS = 3
# file (": NAME": a header, with the source that uses it), text, what takes its first place, kernel test that must fail.
MUTANTS = [
    ("common.cuh: norm", "  __syncthreads();  // the last call's values may still be read\n", "", "norm"),
    ("common.cuh: norm", "of_warps[thread / kWarp] = value;\n  __syncthreads();", "of_warps[thread / kWarp] = value;", "norm"),
    ("common.cuh: norm", "warp < warps; ++warp", "warp + 1 < warps; ++warp", "norm"),
    ("common.cuh: norm", "distance = kWarp / 2; distance > 0", "distance = kWarp / 2; distance > 1", "norm"),
    ("common.cuh: norm", "kWarp + threadIdx.x] = sum;\n  __syncthreads();", "kWarp + threadIdx.x] = sum;", "norm"),
    ("common.cuh: activation", "i < count; i += step", "i <= count; i += step", "activation"),
    ("common.cuh: reduce", "if (threadIdx.y > 0 || column >= columns) return;", "if (threadIdx.y > 0) return;", "linear"),
    ("norm.cu", "load(x[c]) - mean;", "load(x[c + 1]) - mean;", "norm"),
    ("norm.cu", "op.stats[2 * row + 1] = inverse", "op.stats[2 * row + 2] = inverse", "norm"),
    ("attention.cuh: attention", "first + row < extents.t ?", "first + row <= extents.t ?", "attention"),
    ("attention.cuh: attention", "if (token >= extents.t) continue;", "if (token > extents.t) continue;", "attention"),
    ("attention.cuh: attention", "key <= query && key >= first_key", "key < query && key >= first_key", "attention"),
    ("attention.cuh: attention", "/ kAcross * kRows; }", "/ kAcross; }", "attention"),
    ("attention.cuh: attention", "(first_column() + kAcross * j) * stride", "(first_column() + j) * stride", "attention"),
    ("attention.cu", "    __syncthreads();  // the last tile's values may still be read\n", "", "attention"),
    ("attention.cu", "extents, v);\n    __syncthreads();", "extents, v);", "attention"),
    ("attention.cu", "    }\n    __syncthreads();\n    add_product", "    }\n    add_product", "attention"),
    ("attention.cu", "for (R& result : results[i]) result *= rescale;", "(void)rescale;", "attention"),
    ("attention_gradient.cu", "tiles.dout);\n      __syncthreads();", "tiles.dout);", "attention"),
    ("attention_gradient.cu", "query, key);\n      __syncthreads();", "query, key);", "attention"),
    ("attention_gradient.cu", "      __syncthreads();  // the last tile may still be read\n", "", "attention"),
    ("attention_gradient.cu", "tiles.slopes[l * kScoreStride + row]", "tiles.slopes[row * kScoreStride + l]", "attention"),
    ("flash.cuh: flash_attention", "a + lane() % 16 * kStride", "a + lane() % 8 * kStride", "attention_bf16"),
    ("flash.cuh: flash_attention", "kStride<columns> + lane() / 8 % 2 * 8;",
     "kStride<columns> + lane() / 8 % 2 * 4;", "attention_bf16"),
    ("flash.cuh: flash_attention", "lane() % 16 * kStride<columns> + lane() / 16 * 8;\n  COXSWAIN_UNROLL",
     "lane() % 16 * kStride<columns> + lane() / 8 % 2 * 8;\n  COXSWAIN_UNROLL", "attention_bf16"),
    ("flash.cuh: flash_attention", "return lane() % 4 * 2; }", "return lane() % 4; }", "attention_bf16"),
    ("flash.cuh: flash_attention", "present = token < t && column < d;", "present = token < t;", "attention_bf16"),
    ("flash.cuh: flash_attention", "weights[i][2 * k][1], weights[i][2 * k + 1][0]",
     "weights[i][2 * k + 1][0], weights[i][2 * k][1]", "attention_bf16"),
    ("flash.cuh: flash_attention", "if (first + row >= t || column >= d)",
     "if (first + row > t || column >= d)", "attention_bf16"),
    ("flash_attention.cu", "    ptx::wait_for_copies<0>();\n    __syncthreads();  // the keys are there",
     "    __syncthreads();  // the keys are there", "attention_bf16"),
    ("flash_attention.cu", "    ptx::wait_for_copies<0>();\n    __syncthreads();  // the values are there",
     "    __syncthreads();  // the values are there", "attention_bf16"),
    ("flash_attention.cu", "    __syncthreads();  // the keys are there, and the last values are no longer read\n",
     "", "attention_bf16"),
    ("flash_attention.cu", "    __syncthreads();  // the values are there, and the keys are no longer read\n",
     "", "attention_bf16"),
    ("flash_attention.cu", "column > row || column < first_key", "column >= row || column < first_key", "attention_bf16"),
    ("flash_attention.cu", "column < first_key)", "column <= first_key)", "attention_bf16"),
    ("flash_attention.cu", "first_of_warp || key < begin.highest", "first_of_warp", "attention_bf16"),
    ("flash_attention.cu", "key + keys - 1 > first_of_warp", "key > first_of_warp", "attention_bf16"),
    ("flash_attention.cu", "results[i][j][2 * half] *= rescale;", "", "attention_bf16"),
    ("flash_attention.cu", "begin.lowest / keys * keys", "(begin.lowest + keys - 1) / keys * keys", "attention_bf16"),
    ("flash_attention.cu", "if (key + keys < last)", "if (key + keys < last - 1)", "attention_bf16"),
    ("flash_attention_gradient.cu", "    ptx::wait_for_copies<1>();\n", "", "attention_bf16"),
    ("flash_attention_gradient.cu", "    ptx::wait_for_copies<0>();\n    __syncthreads();  // dout is there",
     "    __syncthreads();  // dout is there", "attention_bf16"),
    ("flash_attention_gradient.cu", "    __syncthreads();  // the queries and their facts are there\n", "", "attention_bf16"),
    ("flash_attention_gradient.cu", "    __syncthreads();  // dout is there\n", "", "attention_bf16"),
    ("flash_attention_gradient.cu", "    __syncthreads();  // the queries and their facts are no longer read\n",
     "", "attention_bf16"),
    ("flash_attention_gradient.cu", "    __syncthreads();  // dout is no longer read\n", "", "attention_bf16"),
    ("flash_attention_gradient.cu", "    ptx::wait_for_copies<0>();\n    __syncthreads();  // keys and values are there",
     "    __syncthreads();  // keys and values are there", "attention_bf16"),
    ("flash_attention_gradient.cu", "    __syncthreads();  // keys and values are there\n", "", "attention_bf16"),
    ("flash_attention_gradient.cu", "    __syncthreads();  // the values are no longer read\n", "", "attention_bf16"),
    ("flash_attention_gradient.cu", "    __syncthreads();  // the keys are no longer read\n", "", "attention_bf16"),
    ("flash_attention_gradient.cu", "row <= query + column", "row < query + column", "attention_bf16"),
    ("flash_attention_gradient.cu", "row >= facts.first_key", "row > facts.first_key", "attention_bf16"),
    ("flash_attention_gradient.cu", "join_block(last, Greater()) + 1", "join_block(last, Greater())", "attention_bf16"),
    ("flash_attention_gradient.cu", "last_key + visible.band;", "last_key + visible.band - 1;", "attention_bf16"),
    ("flash_attention_gradient.cu", "fragment_column() + n % 2];", "fragment_column()];", "attention_bf16"),
    ("flash_attention_gradient.cu", "return op.visible.starts || op.visible.band < t || query",
     "return query", "attention_bf16"),
    ("flash_attention_gradient.cu", "group * (op.extents.a / op.extents.g) + i / tiles", "group + i / tiles", "attention_bf16"),
    ("gemm.cu", "return bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX",
     "return CUBLASLT_EPILOGUE_GELU_AUX", "linear"),
    ("gemm.cu", "return bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT", "return CUBLASLT_EPILOGUE_DEFAULT", "linear"),
    ("gemm.cu", "  describe_finish(plan.description, finish);\n", "", "linear"),
    ("gemm.cu", "AUX_LD, leading_of(finish.before)", "AUX_LD, leading_of(finish.before) + 8", "linear"),
    ("linear.cu", "finish.kind = Gemm::Finish::Kind::gelu, finish.before = y", "finish.before = y", "linear"),
    ("embedding.cu", "first + lane < op.count && ", "", "embedding"),
    ("embedding.cu", "found &= found - 1", "found = 0", "embedding"),
    ("cross_entropy.cu", "stats[3 * row + 2] =", "stats[3 * row + 3] =", "cross_entropy"),
    ("cross_entropy.cu", "put(x, c < op.valid ? slope", "put(x, c <= op.valid ? slope", "cross_entropy"),
    ("cached_attention.cu", "* op.scale;\n  __syncthreads();", "* op.scale;", "decoding"),
    ("cached_attention.cu", "  __syncthreads();\n  R maximum = kNone;", "  R maximum = kNone;", "decoding"),
    ("cached_attention.cu", "distance >= kAcross", "distance > kAcross", "decoding"),
    ("cached_attention.cu", "totals[i];\n  __syncthreads();", "totals[i];", "decoding"),
    ("cached_attention.cu", "last = (op.count(row) - 1) / kChunk", "last = op.count(row) / kChunk", "decoding"),
    ("cached_attention.cu", "weights, first, end, sums)", "weights, 0, end, sums)", "decoding"),
    ("cached_attention.cu", "op.load(values + j * op.d + column", "op.load(values + j * op.d + column + 1", "decoding"),
    ("row_linear.cu", "if (first + i < op.m) sums[i]", "sums[i]", "decoding"),
]


def commands_of(build, target):
    text = subprocess.run(["ninja", "-C", build, "-t", "commands", target], capture_output=True, text=True, check=True)
    return text.stdout.splitlines()


def compile_mutant(build, source, folder, output):
    entry = next(e for e in json.loads((build / "compile_commands.json").read_text())
                 if e["file"].endswith(f"kernels/cuda/{source}") and "coxswain_cuda_emulated" in e["command"])
    words = shlex.split(entry["command"])
    words[words.index("-o") + 1] = str(output)
    file = folder / "kernels/cuda" / source
    words = [str(file if file.exists() else SOURCE / "kernels/cuda" / source) if w == entry["file"] else w for w in words]
    compiler = 2 if "ccache" in words[0] else 1
    words.insert(compiler, f"-I{folder}")  # a mutated header comes first
    return subprocess.run(words, cwd=entry["directory"], capture_output=True, text=True)


def run_mutant(build, folder, name, before, after, test):
    file, _, user = name.partition(": ")
    text = (SOURCE / "kernels/cuda" / file).read_text()
    if before not in text:
        return None, "the text is not there any more: mend this list"
    target = folder / "kernels/cuda" / file
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text.replace(before, after, 1))
    source = f"{user}.cu" if user else file
    compiled = compile_mutant(build, source, folder, folder / "mutant.o")
    if compiled.returncode != 0:
        return None, compiled.stderr[:500]
    link = next(c for c in reversed(commands_of(build, f"emulated_{test}_test")) if f"emulated_{test}_test" in c)
    link = re.sub(rf"\S*coxswain_cuda_emulated\.dir\S*/{re.escape(source)}\.o", str(folder / "mutant.o"), link)
    link = link.replace(f"-o tests/emulated_{test}_test", f"-o {folder}/mutant")
    linked = subprocess.run(link, shell=True, cwd=build, capture_output=True, text=True)
    if linked.returncode != 0:
        return None, linked.stderr[:500]
    for seed in range(1, SEEDS + 1):
        try:
            ended = subprocess.run([folder / "mutant", "--gtest_brief=1", "--gtest_fail_fast"], capture_output=True,
                                   text=True, timeout=300, env={"COXSWAIN_EMULATION_SEED": str(seed)})
        except subprocess.TimeoutExpired:
            return True, "no end"
        if ended.returncode != 0:
            said = re.search(r"cuda emulation.*|^\S+: Failure\n.*", ended.stdout + ended.stderr, re.MULTILINE)
            return True, f"seed {seed}: {said.group(0) if said else ended.returncode}".replace("\n", " ")[:150]
    return False, "NOT CAUGHT"


def main():
    build, words = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:]
    survived = 0
    for number, mutant in enumerate(MUTANTS):
        if words and not any(word in " ".join(mutant) for word in words):
            continue
        folder = build / "tests/mutants" / str(number)
        caught, how = run_mutant(build, folder, *mutant)
        survived += caught is not True
        print(f"{number:2} {mutant[0]:24} {' '.join(mutant[1].split())[:48]:48} {how}", flush=True)
    print(f"{survived} mutants not caught")
    sys.exit(1 if survived else 0)


main()
