#!/usr/bin/env python3
"""PPO and PPO-ptx as a user runs them. Law 1: metrics byte for byte and the state's hash on every grid, policy and reward
model cut differently. Law 2: SIGKILL at random moments (rollouts, updates, saves) and the same command on another grid.
COXSWAIN_SEEDS: how many kills' seeds (default 2)."""
import json
import os
import random
import time

from alignment import make_models
from jobs import DECKS, Bench, Grid, difference, metrics, steps_done

STEPS = 12
MINIBATCH, PER_EPISODE, LENGTH = 8, 1, 32  # as in the deck
PAIRS = [("2x1x1", "1x1x2"), ("1x2x1", "2x1x1"), ("1x1x4", "2x2x1"), ("2x2x2", "1x2x4")]  # of policy, of reward and value model
GRIDS = ["1x1x1", "2x1x1", "1x2x1", "1x1x2", "2x2x1"]


def reward_keys(grid):
    return {f"reward_{key}": value for key, value in grid.keys().items()} | {
        "reward_grid.tensor_shards": 2, "reward_grid.data_shards": 4}


def grids(bench, deck, keys, gold):
    for mine, other in PAIRS:
        grid, reward = Grid(mine), Grid(other)
        run = bench.work / f"{gold.name}_{mine}"
        ended = bench.run(deck, grid.ranks, keys | grid.keys() | reward_keys(reward) | {"run.directory": run})
        bench.case(f"{gold.name} on {mine}, reward model on {other}: {ended.seconds:.1f} s")
        if bench.check(ended.code == 0, f"{mine}: code {ended.code}", ended.text):
            unlike = difference(run, gold)
            bench.check(not unlike, f"{mine} with {other}", unlike)


def kills(bench, deck, keys, gold, seed):
    chance = random.Random(seed)
    run = bench.work / f"killed_{seed}"
    story = []
    for name in chance.sample(GRIDS, 3):
        grid = Grid(name)
        job = bench.start(deck, grid.ranks, keys | grid.keys() | reward_keys(grid) | {"run.directory": run})
        goal = min(STEPS - 2, steps_done(run) + chance.randint(1, 4))
        while job.running() and steps_done(run) < goal:
            time.sleep(0.002)
        time.sleep(chance.random() * 0.2)
        if job.running():
            job.kill()
        story.append(f"{name} to step {steps_done(run)}" + ("" if job.end(60).code else ", finished"))
    ended = bench.run(deck, 1, keys | reward_keys(Grid("1x1x1")) | {"run.directory": run, "grid.data": 1})
    bench.case(f"seed {seed}: {'; '.join(story)}; then code {ended.code}")
    if bench.check(ended.code == 0, f"seed {seed}: the restart ended with {ended.code}", ended.text):
        unlike = difference(run, gold)
        bench.check(not unlike, f"seed {seed}: {story}", unlike)


def check_metrics(bench, name, run):
    """All that scripts rely on is there, in the order of the console's columns; every update has seen tokens."""
    lines = [json.loads(line) for line in metrics(run).decode().splitlines()]
    wanted = ["clip_fraction", "kl_k2", "kl_k3"] + ["pretrain_loss"] * (name == "ppo_ptx")
    for key in wanted:
        bench.check(all(key in line for line in lines), f"{name}: no {key} in metrics.jsonl", str(lines[0]))
    bench.check(list(lines[0])[2:6] == ["reward", "kl", "policy_loss", "value_loss"], f"{name}: {list(lines[0])}")
    for line, before in zip(lines, [{"tokens": 0}] + lines):
        more, text = line["tokens"] - before["tokens"], MINIBATCH * (PER_EPISODE * LENGTH if name == "ppo_ptx" else 0)
        bench.check(text + MINIBATCH < more <= text + MINIBATCH * LENGTH, f"{name}, step {line['step']}: {more} tokens")


def main():
    bench = Bench("ppo")
    models = make_models(bench)
    deck = DECKS / "ppo.ini"
    for name, keys in (("ppo_ptx", models), ("ppo", models | {"ppo.pretrain_coefficient": 0})):
        gold = bench.work / name
        ended = bench.run(deck, 1, keys | reward_keys(Grid("1x1x1")) | {"run.directory": gold, "grid.data": 1})
        if not bench.check(ended.code == 0 and steps_done(gold) == STEPS, f"{name}: code {ended.code}", ended.text):
            bench.finish()
        check_metrics(bench, name, gold)
        grids(bench, deck, keys, gold)
    for seed in range(1, 1 + int(os.environ.get("COXSWAIN_SEEDS", "2"))):
        kills(bench, deck, models, bench.work / "ppo_ptx", seed)
    bench.finish()


main()
