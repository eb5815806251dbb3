#!/usr/bin/env python3
"""Breaks the communicator on NCCL one line at a time and runs its test on emulated GPUs: every mutant must be caught.

usage: nccl_mutants.py BUILD [WORD ...]   BUILD: a folder built with preset `release`; WORD: only mutants whose text has it
"""
import json
import os
import pathlib
import shlex
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "regression"))
from jobs import ENVIRONMENT  # noqa: E402

SOURCE = pathlib.Path(__file__).resolve().parents[2]
CHANNEL, COMMUNICATOR = "src/parallel/nccl_channel.cpp", "src/parallel/nccl_communicator.cpp"
# file, text, what takes its first place.
MUTANTS = [
    (CHANNEL, 'check_cuda(cudaStreamWaitEvent(stream_, ready_.get(), 0), "cudaStreamWaitEvent");', ""),
    (CHANNEL, 'check_cuda(cudaEventRecord(ready_.get(), backend_), "cudaEventRecord");', ""),
    (CHANNEL, 'check_cuda(cudaStreamWaitEvent(backend_, flight.done.get(), 0), "cudaStreamWaitEvent");', "(void)flight;"),
    (CHANNEL, "cudaEventRecord(flights_.back().done.get(), stream_)", "cudaEventRecord(flights_.back().done.get(), backend_)"),
    (CHANNEL, "if (waited_ || std::uncaught_exceptions() > exceptions_) return;", "return;"),
    (CHANNEL, "landed_ + flights_.size() - 1", "landed_ + flights_.size() - 2"),
    (CHANNEL, "if (ticket < landed_) return;", "if (ticket <= landed_) return;"),
    (CHANNEL, "!flights_.empty() && cudaEventQuery(flights_.front().done.get()) == cudaSuccess", "!flights_.empty()"),
    (CHANNEL, "  const ncclResult_t ended = ncclGroupEnd();\n", "  const ncclResult_t ended = ncclSuccess;\n"),
    (COMMUNICATOR, "return ncclSend(data.data, data.bytes(), ncclUint8, 1, pair, stream);",
     "return ncclSend(data.data, data.bytes(), ncclUint8, 0, pair, stream);"),
    (COMMUNICATOR, "return ncclRecv(data.data, data.bytes(), ncclUint8, 0, pair, stream);",
     "return ncclRecv(data.data, data.bytes(), ncclUint8, 1, pair, stream);"),
    (COMMUNICATOR, "ncclUint8, from, all, stream)", "ncclUint8, (from + 1) % size(), all, stream)"),
    (COMMUNICATOR, "ncclUint8, to, all, stream)", "ncclUint8, (to + 1) % size(), all, stream)"),
    (COMMUNICATOR, "if (known == route) return *channel;",
     "if (known.from == route.from && known.to == route.to) return *channel;"),
    (COMMUNICATOR, "ncclUint8, root, all, stream)", "ncclUint8, 0, all, stream)"),
    (COMMUNICATOR, "r == me ? piece.data : place(r)", "place(r)"),
    (COMMUNICATOR, "static_cast<std::size_t>(rows.starts[r]) * rows.bytes",
     "static_cast<std::size_t>(rows.starts[r] + 1) * rows.bytes"),
    (COMMUNICATOR, "ncclSend(piece(in, r)", "ncclSend(piece(in, rank())"),
    (COMMUNICATOR, "ncclRecv(piece(out, r), bytes", "ncclRecv(piece(out, r), bytes - 4"),
    (COMMUNICATOR, "ncclAllGather(piece.data, out.data,", "ncclAllGather(out.data, out.data,"),
    (COMMUNICATOR, "if (size() == 1) return backend_.copy(in.flat(), out.flat());", "if (size() == 1) return;"),
]


def compile_mutant(build, file, source, output):
    entry = next(e for e in json.loads((build / "compile_commands.json").read_text())
                 if e["file"].endswith(file) and "coxswain_nccl_emulated" in e["command"])
    words = [word for word in shlex.split(entry["command"]) if word != "-Werror"]
    words[words.index("-o") + 1] = str(output)
    words = [str(source) if word == entry["file"] else word for word in words]
    return subprocess.run(words, cwd=build, capture_output=True, text=True)


def link_test(build, file, output, program):
    text = subprocess.run(["ninja", "-C", build, "-t", "commands", "emulated_nccl_test"], capture_output=True, text=True,
                          check=True).stdout.splitlines()[-1]
    words = shlex.split(text.split("&&")[1])
    name = f"{pathlib.Path(file).name}.o"
    words = [str(output) if word.endswith(name) else str(program) if word == "tests/emulated_nccl_test" else word
             for word in words]
    subprocess.run(words, cwd=build, check=True)


def caught_by(program):
    for ranks in (1, 2, 4):
        try:
            ended = subprocess.run(["mpiexec", "--timeout", "60", "-np", str(ranks), program], capture_output=True, text=True,
                                   env=dict(os.environ) | ENVIRONMENT | {"OMP_NUM_THREADS": "1"}, timeout=90)
        except subprocess.TimeoutExpired:
            return f"{ranks} ranks: no end"
        said = (ended.stdout + ended.stderr).splitlines()
        lines = [line for line in said if any(word in line for word in ("emulation (seed", "FAILED", "[rank ", "coxswain: "))]
        if ended.returncode != 0:
            return f"{ranks} ranks: code {ended.returncode}: {lines[0].strip() if lines else ''}"
    return None


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    work = build / "tests/nccl_mutants"
    work.mkdir(exist_ok=True)
    missed = 0
    chosen = [m for m in MUTANTS if all(word in m[0] + m[1] for word in sys.argv[2:])]
    for file, text, other in chosen:
        whole = (SOURCE / file).read_text()
        source, output, program = work / pathlib.Path(file).name, work / "mutant.o", work / "mutant"
        if text not in whole:
            print(f"MISSED: {file} has no longer: {text}")
            missed += 1
            continue
        source.write_text(whole.replace(text, other, 1))
        compiled = compile_mutant(build, file, source, output)
        if compiled.returncode != 0:
            print(f"MISSED: {file}: does not compile: {text}\n{compiled.stderr[:1000]}")
            missed += 1
            continue
        link_test(build, file, output, program)
        caught = caught_by(program)
        missed += caught is None
        print(f"{'caught' if caught else 'MISSED'}: {pathlib.Path(file).name}: {text.strip()!r} -> {other.strip()!r}: {caught}",
              flush=True)
    print(f"{len(chosen)} mutants, {missed} missed")
    sys.exit(1 if missed or not chosen else 0)


main()
