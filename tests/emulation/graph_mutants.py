#!/usr/bin/env python3
"""Breaks what keeps and repeats work (recordings, graphs, decoding by them, the emulation of captures) one line at a time:
every mutant must be caught by a test.

usage: graph_mutants.py BUILD [WORD ...]   BUILD: a folder built with preset `release`; WORD: only mutants whose text has one
"""
import mutating

RECORDING, GRAPH = "kernels/recording.cpp", "kernels/cuda/captured_graph.cu"
PIPELINE, GENERATOR, SUM = "src/rl/decode_pipeline.cpp", "src/rl/generator.cpp", "src/parallel/ordered_reduce.cpp"
GRAPHS, STREAMS, RUNTIME = (f"tests/emulation/{name}.cpp" for name in ("graphs", "streams", "runtime"))
# Which tests, on how many ranks, may catch a mutant of a file.
EMULATION, WORK, DECODING = ("emulation_graphs_test", None), ("emulated_recording_test", None), "emulated_generation_test"
TESTS = {GRAPHS: [EMULATION], STREAMS: [EMULATION], RUNTIME: [EMULATION]}
OF_KERNELS, OF_DECODING = [WORK, (DECODING, 2)], [(DECODING, 1), (DECODING, 2)]
# file, text, what takes its place everywhere.
MUTANTS = [
    ("kernels/memory_pool.cpp", "in_recorded_work_ ? recorded_pool_ : pool_", "pool_"),  # memory that others have meanwhile
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

mutating.main("graph_mutants", MUTANTS,
              lambda file: TESTS.get(file, OF_DECODING if file.startswith("src/") else OF_KERNELS))
