#!/usr/bin/env python3
"""What --check says of memory against the peak of a rank (VmHWM), for models that outweigh the program: within 10 %, on one
rank and on each kind of two, in training with saves in the background and in generation. COXSWAIN_FULL=1: more models,
recomputations and grids."""
import os
import pathlib
import re
import sys
import time

from jobs import DECKS, SKIP, Bench, Grid

TOLERANCE = 0.10
UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
MODEL = {"data.source": "synthetic", "run.validate_every": 0, "run.steps": 3, "checkpoint.every": 1, "checkpoint.keep": 1,
         "model.dropout": 0.1, "model.context": 256, "batch.length": 256, "grid.tensor_shards": 0, "grid.data_shards": 0}
# 21M parameters whose weights dominate, and 27M with long activations beside them.
MODELS = {"weights": {"model.layers": 6, "model.hidden": 512, "model.heads": 8, "model.vocabulary": 4096, "batch.global": 4,
                      "batch.micro": 2},
          "activations": {"model.layers": 6, "model.hidden": 512, "model.heads": 8, "model.vocabulary": 16384,
                          "batch.global": 16, "batch.micro": 8, "model.context": 512, "batch.length": 512}}
RESPONSES = {"run.phase": "generate", "checkpoint.at_end": "no", "checkpoint.every": 0, "generate.synthetic_prompts": 32,
              "generate.synthetic_prompt_tokens": 224, "generate.slots": 32, "generate.max_new_tokens": 16}
# Few slots compress weights beside, with AVX-512.
GENERATION = {"generation": RESPONSES, "few slots": RESPONSES | {"generate.slots": 8}}
SOME = [("weights", "fp32", "1x1x1", "none"), ("weights", "bf16", "1x2x1", "selective"),
        ("activations", "bf16", "2x1x1", "none"), ("weights", "fp32", "1x1x2", "full"),
        ("weights", "bf16", "1x1x1", "generation"), ("weights", "fp32", "1x2x1", "generation"),
        ("weights", "fp32", "1x1x1", "few slots")]
FULL = [(model, precision, grid, recompute) for model in MODELS for precision in ("fp32", "bf16")
        for grid in ("1x1x1", "2x1x1", "1x2x1", "1x1x2") for recompute in ("none", "selective", "full", *GENERATION)]


def planned(text):
    """{stage: bytes a rank}, from the plan's table."""
    rows = re.findall(r"^ *(\d+) ((?: *[\d.]+ [KMGT]?i?B)+) ", text, re.MULTILINE)
    totals = {}
    for stage, columns in rows:
        value, unit = re.findall(r"([\d.]+) ([KMGT]?i?B)", columns)[-1]
        totals[int(stage)] = float(value) * UNITS[unit]
    return totals


def peaks(job):
    """The largest VmHWM seen of each rank, by rank."""
    seen = {}
    while job.running():
        for pid in job.ranks():
            try:
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
                environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
            except OSError:
                continue
            peak = re.search(r"VmHWM:\s+(\d+) kB", status)
            rank = re.search(rb"OMPI_COMM_WORLD_RANK=(\d+)", environment)
            if peak:
                number = int(rank.group(1)) if rank else 0
                seen[number] = max(seen.get(number, 0), int(peak.group(1)) * 1024)
        time.sleep(0.02)
    return seen


def main():
    bench = Bench("memory")
    if not pathlib.Path("/proc/self/status").exists():
        print("skipped: no /proc here")
        sys.exit(SKIP)
    full = os.environ.get("COXSWAIN_FULL", "") not in ("", "0")
    for model, precision, name, work in FULL if full else SOME:
        grid = Grid(name)
        label = f"{model} {precision} {name} {work}"
        keys = MODEL | MODELS[model] | GENERATION.get(work, {"batch.recompute": work})
        keys |= grid.keys() | {"model.precision": precision, "run.directory": bench.work / label.replace(" ", "_")}
        plan = bench.run(DECKS / "small.ini", 1, keys, words=("--check",))
        promised = planned(plan.text)
        if not bench.check(plan.code == 0 and len(promised) == grid.pipeline, f"{label}: no plan", plan.text):
            continue
        job = bench.start(DECKS / "small.ini", grid.ranks, keys)
        seen = peaks(job)
        ended = job.end()
        bench.check(ended.code == 0, f"{label}: code {ended.code}", ended.text)
        for rank, peak in sorted(seen.items()):
            said = promised[rank // (grid.tensor * grid.data)]
            bench.case(f"{label} rank {rank}: peak {peak / 2**20:.0f} MiB, plan {said / 2**20:.0f} MiB, {peak / said - 1:+.1%}")
            bench.check(abs(peak / said - 1) <= TOLERANCE, f"{label} rank {rank}: the plan is off", plan.text)
    bench.finish()


main()
