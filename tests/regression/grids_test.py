#!/usr/bin/env python3
"""Law 1: one deck on many grids, threads, virtual stages and recomputations; the metrics are equal byte for byte, the last
checkpoints hold the same tensors. Then the golden losses, one file for all grids. COXSWAIN_FULL=1: the whole product."""
import itertools
import json
import os
import sys

from jobs import DECKS, Bench, Grid, difference, losses, steps_done

GRIDS = ["1x1x1", "2x1x1", "1x2x1", "1x1x4", "2x2x1", "2x2x2"]
PRECISIONS = ["fp32", "bf16"]
RECOMPUTE = ["none", "selective", "full"]
GOLDEN = DECKS.parent / "golden_losses.json"
TOLERANCE = 1e-4  # processors differ in their last bits

# (grid, threads, virtual stages, recompute): each value of each at least once, for both precisions.
SOME = [("2x1x1", 1, 1, "none"), ("1x2x1", 1, 2, "selective"), ("1x1x4", 1, 1, "full"), ("2x2x2", 1, 2, "full"),
        ("1x1x1", 2, 2, "full"), ("2x2x1", 2, 1, "selective")]


def compare_golden(bench, precision, run):
    mine = losses(run)
    golden = json.loads(GOLDEN.read_text())[precision]
    worst = max(abs(a - b) / b for a, b in zip(mine, golden)) if len(mine) == len(golden) else float("inf")
    bench.case(f"golden losses, {precision}: {len(mine)} steps, largest relative difference {worst:.1e}")
    bench.check(worst <= TOLERANCE, f"{precision}: losses {mine}\nare not the golden ones {golden}",
                f"after a change that is meant to move them: {sys.argv[0]} PROGRAM MPIEXEC WORK_FOLDER --write")


def main():
    write = "--write" in sys.argv
    bench = Bench("grids")
    deck = DECKS / "small.ini"
    data = bench.tokenize()
    full = os.environ.get("COXSWAIN_FULL", "") not in ("", "0")
    cases = list(itertools.product(GRIDS, [1, 2], [1, 2], RECOMPUTE)) if full else SOME
    golden = {}
    for precision in PRECISIONS:
        gold = bench.work / f"gold_{precision}"
        keys = data | {"model.precision": precision}
        ended = bench.run(deck, 1, keys | {"run.directory": gold, "grid.data": 1})
        if not bench.check(ended.code == 0 and steps_done(gold) == 12, f"{precision}: code {ended.code}", ended.text):
            continue
        golden[precision] = losses(gold)
        if not write:
            compare_golden(bench, precision, gold)
        for name, threads, virtual, recompute in cases:
            grid = Grid(name)
            label = f"{precision} {name} threads {threads} virtual stages {virtual} recompute {recompute}"
            run = bench.work / label.replace(" ", "_")
            own = {"run.directory": run, "grid.virtual_stages": virtual, "batch.recompute": recompute}
            ended = bench.run(deck, grid.ranks, keys | grid.keys() | own, threads)
            bench.case(f"{label}: {ended.seconds:.1f} s")
            if bench.check(ended.code == 0, f"{label}: code {ended.code}", ended.text):
                unlike = difference(run, gold)
                bench.check(not unlike, label, unlike)
    if write:
        GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")
    bench.finish()


main()
