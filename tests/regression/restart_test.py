#!/usr/bin/env python3
"""SIGKILL to all ranks at random moments, saves included, and the same command again on another grid: metrics and state are
those of a run that nothing disturbed. COXSWAIN_SEEDS: how many times (default 3); COXSWAIN_FIRST_SEED: the first one."""
import os
import random
import time

from jobs import DECKS, Bench, Grid, difference, steps_done

STEPS = 20
KILLS = 2  # a seed; then the run may finish
GRIDS = ["1x1x1", "2x1x1", "1x2x1", "1x1x2", "1x1x4", "2x2x1", "1x4x1", "2x1x2", "2x2x2"]
KEYS = {"run.steps": STEPS, "checkpoint.every": 2}


def kill_somewhen(chance, job, run, goal):
    """After `goal` steps and a random time, or in the middle of a save. Returns where it was hit; None if it ended first."""
    in_save = chance.random() < 0.6
    delay = chance.random() * (0.02 if in_save else 0.3)
    checkpoints = run / "checkpoints"
    while job.running():
        if steps_done(run) >= goal and any(checkpoints.glob("*.tmp")) == in_save:
            break
        time.sleep(0.001)
    time.sleep(delay)
    if not job.running():
        return None
    job.kill()
    if job.end(60).code == 0:
        return None
    saving = any(checkpoints.glob("*.tmp"))
    return f"{steps_done(run)}{' in a save' if saving else ''}"


def one_seed(bench, deck, data, seed, gold):
    chance = random.Random(seed)
    run = bench.work / f"seed_{seed}"
    grids = [Grid(name) for name in chance.sample(GRIDS, KILLS + 1)]
    story, goal = [], 0
    for grid in grids[:KILLS]:
        goal = chance.randint(goal, STEPS - 4)
        job = bench.start(deck, grid.ranks, data | KEYS | grid.keys() | {"run.directory": run})
        hit = kill_somewhen(chance, job, run, goal)
        story.append(f"{grid.text} killed at step {hit}" if hit else f"{grid.text} finished first")
        goal = min(STEPS - 4, steps_done(run))
    last = grids[KILLS]
    ended = bench.run(deck, last.ranks, data | KEYS | last.keys() | {"run.directory": run})
    bench.case(f"seed {seed}: {', '.join(story)}, {last.text} code {ended.code}")
    if bench.check(ended.code == 0, f"seed {seed}: the restart ended with {ended.code}", ended.text):
        unlike = difference(run, gold)
        bench.check(not unlike, f"seed {seed}: {story}", unlike)
    return story


def main():
    bench = Bench("restart")
    deck = DECKS / "small.ini"
    data = bench.tokenize()
    gold = bench.work / "gold"
    ended = bench.run(deck, 1, data | KEYS | {"run.directory": gold})
    bench.check(ended.code == 0 and steps_done(gold) == STEPS, f"the undisturbed run: code {ended.code}", ended.text)
    first, count = int(os.environ.get("COXSWAIN_FIRST_SEED", "1")), int(os.environ.get("COXSWAIN_SEEDS", "3"))
    stories = [part for seed in range(first, first + count) for part in one_seed(bench, deck, data, seed, gold)]
    kills = [part for part in stories if "killed" in part]
    print(f"{len(kills)} kills, {sum('in a save' in part for part in kills)} of them in a save")
    bench.check(len(kills) >= count, "too few jobs were hit before they ended")
    bench.finish()


main()
