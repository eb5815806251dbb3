#!/usr/bin/env python3
"""What nvcc made of the CUDA kernels, and what a GPU can do with it at most.

  python3 tools/kernel_report BUILD               all kernels of a build folder of preset `cuda`, as Markdown tables
  python3 tools/kernel_report BUILD --hot         the hot ones only: GPT-3 175B's layer and decoding
  python3 tools/kernel_report BUILD --check       prints where kernels/cuda/budget.json is broken, and ends with 1 if it is
  python3 tools/kernel_report BUILD --write-budget    writes that file anew from this build

Registers, shared memory and machine code come from cuobjdump, occupancy from the limits in inputs/machines. The predicted
shares of the roofline are upper limits from a model (layer.py says which), not measurements. Ends with 4 where cuobjdump
or the objects are missing."""
import argparse
import pathlib
import sys

import budget as budgets
import cubins
import layer
from occupancy import machines, resident_warps

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 4


def kernel_table(kernels, machine, budget):
    shared = budgets.dynamic_shared(budget, kernels)
    lines = ["| kernel | file | registers | stack | spills | shared | threads | occupancy | limit | tensor | async | 16 B |"
             " 8 B | 4 B | 2 B | needs, *lacks* |", "|---|---|" + "--:|" * 6 + "---|" + "--:|" * 6 + "---|"]
    for k in kernels:
        warps, limit = resident_warps(machine.gpu, k.threads or 256, k.registers, k.shared + shared.get(k.name, 0))
        needs = budgets.needs_of(budget, k) or ""
        lacking = budgets.lacks(k, needs)
        words = ", ".join(f"*{word}*" if word in lacking else word for word in needs.split())
        moves = " | ".join(str(k.global_moves.get(size, 0)) for size in (8, 4, 2))
        lines.append(f"| `{k.name}` | {k.file} | {k.registers} | {k.stack} | {k.spills} | {k.shared + shared.get(k.name, 0)} | "
                     f"{k.threads or '?'} | {100 * warps / machine.warps_per_sm:.0f} % | {limit} | {k.tensor} | "
                     f"{k.asynchronous} | {k.wide} | {moves} | {words} |")
    return lines


def layer_table(kernels, machine, budget):
    by_name = {k.name: k for k in kernels}
    rows = layer.predict(by_name, machine, budgets.dynamic_shared(budget, kernels))
    lines = ["| operation | part | floor, us | at least, us | share at most | what binds |", "|---|---|--:|--:|--:|---|"]
    floors = times = 0.0
    for operation, floor, spent, note in rows:
        floors += floor
        times += spent or floor
        taken = f"{1e6 * spent:.0f} | {100 * floor / spent:.0f} %" if spent else "? | ?"
        lines.append(f"| {operation.name} | {operation.part} | {1e6 * floor:.0f} | {taken} | {note} |")
    lines.append(f"| all | | {1e6 * floors:.0f} | {1e6 * times:.0f} | {100 * floors / times:.0f} % | |")
    return lines


def report(kernels, budget, hot):
    for architecture in sorted({k.architecture for k in kernels}, key=lambda a: (len(a), a)):
        mine = [k for k in kernels if k.architecture == architecture]
        fitting = [m for m in machines().values() if m.architecture == architecture]
        shown = [k for k in mine if budgets.needs_of(budget, k) is not None] if hot else mine
        spilling = sum(k.spills > 0 for k in mine)
        print(f"\n## {architecture}: {len(mine)} kernels, {spilling} of them use local memory\n")
        if not fitting:
            print("No machine of inputs/machines has this architecture: no occupancy.")
            continue
        print(f"Occupancy on {fitting[0].name}. Stack and spills: bytes and instructions of local memory.\n")
        print("\n".join(kernel_table(shown, fitting[0], budget)))
        for machine in fitting:
            if machine.memory_latency_cycles is None or machine.mma_sync_share is None:
                continue
            print(f"\nGPT-3 175B's layer, tensor 8, one sequence of 2048 tokens, a rank of {machine.name} (predicted, see "
                  "tools/kernel_report/layer.py):\n")
            print("\n".join(layer_table(mine, machine, budget)))


def main():
    parser = argparse.ArgumentParser(prog="kernel_report", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--hot", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--write-budget", action="store_true")
    parser.add_argument("--budget", type=pathlib.Path, default=ROOT / "kernels/cuda/budget.json")
    parser.add_argument("--cuobjdump")
    asked = parser.parse_args()
    try:
        kernels = cubins.read_build(asked.build, asked.cuobjdump)
    except cubins.Missing as reason:
        print(f"kernel_report: skipped: {reason}")
        return SKIPPED
    budget = budgets.read(asked.budget)
    if asked.write_budget:
        found = budgets.write(asked.budget, budget, kernels)
        print("\n".join(found + [f"{asked.budget}: {len(budget['hot'])} hot kernels"]))
        return 1 if found else 0
    if asked.check:
        found = budgets.problems(budget, kernels)
        print("\n".join(found + [f"{len(kernels)} kernels, {len(budget['hot'])} with a budget: {len(found)} problems"]))
        return 1 if found else 0
    report(kernels, budget, asked.hot)
    return 0


sys.exit(main())
