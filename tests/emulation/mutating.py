"""What graph_mutants.py and nccl_mutants.py share: one file of a build compiled with a line broken, linked into the tests that
may catch it, and what they say. (mutants.py breaks kernels, in one test program that it compiles whole.)"""
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


def caught_by(build, file, output, program, tests):
    """tests: (name, ranks), ranks None for one that knows no MPI."""
    for test, ranks in tests:
        link_test(build, file, output, test, program)
        start = ["mpiexec", "-np", str(ranks)] if ranks else []
        try:
            ended = subprocess.run([*start, program, "--gtest_fail_fast"], capture_output=True, text=True, errors="replace",
                                   env=dict(os.environ) | ENVIRONMENT | {"OMP_NUM_THREADS": "1"}, preexec_fn=limit_time,
                                   timeout=300)
        except subprocess.TimeoutExpired:
            return f"{test} on {ranks}: no end"
        said = (ended.stdout + ended.stderr).splitlines()
        lines = [line for line in said if any(word in line for word in ("emulation (seed", "FAILED", "[rank ", "coxswain: "))]
        if ended.returncode != 0:
            return f"{test} on {ranks}: code {ended.returncode}: {lines[0].strip()[:150] if lines else ''}"
    return None


def main(name, mutants, tests_of, places=-1):
    """mutants: (file, text, what takes its place), in the first `places` places, or in all; tests_of(file) may catch them."""
    build, wanted = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:]
    work = build / "tests" / name
    work.mkdir(exist_ok=True)
    missed = 0
    chosen = [m for m in mutants if not wanted or any(word in m[0] + m[1] for word in wanted)]
    for file, text, other in chosen:
        whole = (SOURCE / file).read_text()
        source, output, program = work / pathlib.Path(file).name, work / "mutant.o", work / "mutant"
        source.write_text(whole.replace(text, other, places))
        compiled = compile_mutant(build, file, source, output) if text in whole else None
        if compiled is None or compiled.returncode != 0:
            caught, how = None, compiled.stderr[:1000] if compiled else "the text is not there any more: mend this list"
        else:
            caught = how = caught_by(build, file, output, program, tests_of(file))
        missed += caught is None
        print(f"{'caught' if caught else 'MISSED'}: {pathlib.Path(file).name}: {text.strip()!r} -> {other.strip()!r}: {how}",
              flush=True)
    print(f"{len(chosen)} mutants, {missed} missed")
    sys.exit(1 if missed or not chosen else 0)
