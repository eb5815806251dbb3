#!/usr/bin/env python3
"""Breaks what keeps and repeats work (recordings, graphs, decoding by them, the emulation of captures) one line at a time:
every mutant must be caught by a test.

usage: graph_mutants.py BUILD [WORD ...]   BUILD: a folder built with preset `release`; WORD: only mutants whose text has one
"""
import json
import os
import pathlib
import resource
import shlex
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "regression"))
from jobs import ENVIRONMENT  # noqa: E402

SOURCE = pathlib.Path(__file__).resolve().parents[2]
RECORDING, GRAPH = "kernels/recording.cpp", "kernels/cuda/captured_graph.cu"
PIPELINE, GENERATOR, SUM = "src/rl/decode_pipeline.cpp", "src/rl/generator.cpp", "src/parallel/ordered_reduce.cpp"
GRAPHS, STREAMS, RUNTIME = (f"tests/emulation/{name}.cpp" for name in ("graphs", "streams", "runtime"))
# Which tests, on how many ranks, may catch a mutant of a file.
EMULATION, WORK, DECODING = ("emulation_graphs_test", 1), ("emulated_recording_test", 1), "emulated_generation_test"
TESTS = {GRAPHS: [EMULATION], STREAMS: [EMULATION], RUNTIME: [EMULATION]}
OF_KERNELS, OF_DECODING = [WORK, (DECODING, 2)], [(DECODING, 1), (DECODING, 2)]
# file, text, what takes its place everywhere.
MUTANTS = [
    ("kernels/backend.cpp", "in_recorded_work_ ? recorded_pool_ : pool_", "pool_"),  # memory that others have meanwhile
    (RECORDING, "recording_.parts_.push_back({backend_.end_keeping(), then});",
     "recording_.parts_.push_back({backend_.end_keeping(), {}}), (void)then;"),
    (RECORDING, "recording_.parts_.back().operations->run();", ""),
    (RECORDING, "    if (known) {", "    if (true) {"),  # without a first call that takes the memory
    (RECORDING, "if (--recordings_ > 0) return;", "if (--recordings_ >= 0) return;"),
    (RECORDING, "return sum_up(costs_, recording.costs_, 1);", "return;"),
    (RECORDING, "if (part.then) part.then();", ""),
    (RECORDING, "const Switched outside(in_recorded_work_, false);", ""),
    (RECORDING, "|| timing_ ", ""),
    (RECORDING, "if (keeps_) backend_.stop_keeping();", ""),
    (RECORDING, "if (recorded_blocks_ != 0)", "if (false)"),
    (GRAPH, "    cudaStreamSynchronize(stream_);  // it may be at work\n", ""),
    (GRAPH, "cudaStreamCaptureModeThreadLocal", "cudaStreamCaptureModeGlobal"),
    (GRAPH, "cudaGraphLaunch(graph_, stream_)", "cudaSuccess"),
    (PIPELINE, "  context_.backend.upload(staged_.data(), inputs_);",
     "  if (recordings_.empty()) context_.backend.upload(staged_.data(), inputs_);"),  # the first tokens and positions
    (PIPELINE, "{chunk, batch.rows, batch.sampled.elements()}", "{chunk, 0, batch.sampled.elements()}"),
    (PIPELINE, "{chunk, batch.rows, batch.sampled.elements()}", "{chunk, batch.rows, 0}"),
    (PIPELINE, "{chunk, batch.rows, batch.sampled.elements()}", "{0, batch.rows, batch.sampled.elements()}"),
    (PIPELINE, "all.weights.push_back(buffer->values().data);", "(void)buffer;"),
    (PIPELINE, "return fixed(sampling) == fixed_;", "return static_cast<void>(sampling), true;"),
    (PIPELINE, "std::min(i, std::ssize(values) - 1)", "std::min(i, std::max<std::int64_t>(0, std::ssize(values) - 2))"),
    (PIPELINE, "if (y.view.data != to.data) context_.backend.copy(y, to);", ""),
    (PIPELINE, "  context_.backend.copy(from, copy);\n", ""),
    (GENERATOR, "  pipeline_.reset();\n  std::size_t", "  std::size_t"),
    (SUM, "    backend_.apart(\n        [&group = group_, name = name_, incoming, outgoing] { "
     "group.exchange(incoming, outgoing, name).wait(); });", "    group_.exchange(incoming, outgoing, name_).wait();"),
    (STREAMS, "nodes.push_back({std::move(work), stream.nodes});", "nodes.push_back({std::move(work), {}});"),
    (STREAMS, "  stream.nodes.insert(event.nodes.begin(), event.nodes.end());\n", ""),
    (STREAMS, "if (stream.capture != nullptr && stream.capture != event.capture) {", "if (false) {"),
    (STREAMS, "if (!event.capture->active) return cudaErrorCapturedEvent;", ""),
    (STREAMS, "if (event->capture != nullptr) return cudaErrorCapturedEvent;", ""),
    (GRAPHS, "return joined.size() == nodes.size();", "return true;"),
    (GRAPHS, "if (nodes[i].after.count(next) > 0 && --missing[i] == 0)", "if (nodes[i].after.count(next) > 0)"),
    (GRAPHS, "capture->thread == std::this_thread::get_id()", "true"),
    (GRAPHS, "capture->mode == cudaStreamCaptureModeGlobal", "false"),
    (GRAPHS, "  put(stream, Work{{}, &launched, launched.recorded});\n", ""),
    (GRAPHS, "if (!capture.valid) return cudaErrorStreamCaptureInvalidated;", ""),
    (GRAPHS, "order()() % able.size()", "std::size_t{0}"),
    (GRAPHS, "launched.reached < executable->launched.recorded", "launched.recorded < 0"),
    (RUNTIME, "if (pageable && is_captured(stream)) return call_outside_of_capture(stream);", ""),
]


def compile_mutant(build, file, source, output):
    entry = next(e for e in json.loads((build / "compile_commands.json").read_text())
                 if e["file"].endswith(f"/{file}") and (".cu" not in file or "coxswain_cuda_emulated" in e["command"]))
    words = [word for word in shlex.split(entry["command"]) if word != "-Werror"]
    words[words.index("-o") + 1] = str(output)
    words = [str(source) if word == entry["file"] else word for word in words]
    words.insert(2 if "ccache" in words[0] else 1, f"-I{(SOURCE / file).parent}")
    return subprocess.run(words, cwd=build, capture_output=True, text=True)


def link_test(build, file, output, test, program):
    text = subprocess.run(["ninja", "-C", build, "-t", "commands", test], capture_output=True, text=True,
                          check=True).stdout.splitlines()[-1]
    words = [str(program) if word == f"tests/{test}" else word for word in shlex.split(text.split("&&")[1])]
    objects = [i for i, word in enumerate(words) if word.endswith(f"/{file}.o")]
    if objects:
        words[objects[0]] = str(output)
    else:  # before the archive that has it
        words.insert(next(i for i, word in enumerate(words) if word.endswith(".a")), str(output))
    subprocess.run(words, cwd=build, check=True)


def limit_time():
    resource.setrlimit(resource.RLIMIT_CPU, (60, 70))  # of the processor, not of the clock


def caught_by(build, file, output, program):
    for test, ranks in TESTS.get(file, OF_DECODING if file.startswith("src/") else OF_KERNELS):
        link_test(build, file, output, test, program)
        start = ["mpiexec", "-np", str(ranks)] if test == DECODING else []
        try:
            ended = subprocess.run([*start, program, "--gtest_fail_fast"], capture_output=True, text=True, errors="replace",
                                   env=dict(os.environ) | ENVIRONMENT | {"OMP_NUM_THREADS": "1"}, preexec_fn=limit_time,
                                   timeout=900)
        except subprocess.TimeoutExpired:
            return f"{test} on {ranks}: no end"
        said = (ended.stdout + ended.stderr).splitlines()
        lines = [line for line in said if any(word in line for word in ("emulation (seed", "FAILED", "[rank ", "coxswain: "))]
        if ended.returncode != 0:
            return f"{test} on {ranks}: code {ended.returncode}: {lines[0].strip()[:150] if lines else ''}"
    return None


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    work = build / "tests/graph_mutants"
    work.mkdir(exist_ok=True)
    missed = 0
    chosen = [m for m in MUTANTS if not sys.argv[2:] or any(word in m[0] + m[1] for word in sys.argv[2:])]
    for file, text, other in chosen:
        whole = (SOURCE / file).read_text()
        source, output, program = work / pathlib.Path(file).name, work / "mutant.o", work / "mutant"
        source.write_text(whole.replace(text, other))
        compiled = compile_mutant(build, file, source, output) if text in whole else None
        if compiled is None or compiled.returncode != 0:
            caught, how = None, compiled.stderr[:1000] if compiled else "the text is not there any more: mend this list"
        else:
            caught = how = caught_by(build, file, output, program)
        missed += caught is None
        print(f"{'caught' if caught else 'MISSED'}: {pathlib.Path(file).name}: {text.strip()!r} -> {other.strip()!r}: {how}",
              flush=True)
    print(f"{len(chosen)} mutants, {missed} missed")
    sys.exit(1 if missed or not chosen else 0)


main()
