#!/usr/bin/env python3
"""PPO and PPO-ptx as a user runs them. Law 1: metrics byte for byte and the state's hash on every grid, policy and reward
model cut differently. Law 2: SIGKILL at random moments (rollouts, updates, saves) and the same command on another grid; a
restart with other prompts, another reference or reward model is refused, and does without what its checkpoint replaces.
COXSWAIN_SEEDS: how many kills' seeds (default 2)."""
import json
import os
import random
import shutil
import time

from alignment import make_models
from jobs import DECKS, Bench, Grid, checkpoints, difference, metrics, steps_done

STEPS = 12
MINIBATCH, PER_EPISODE, LENGTH = 8, 1, 32  # as in the deck
RATE, WARMUP_TOKENS, WARMUP_START = 1e-3, 600, 0.1
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


def inputs(bench, deck, keys, gold):
    """What a restart looks at must be as it was, wherever it lies now; it needs nothing else."""
    run, policy, reward = bench.work / "inputs", keys["run.initialize_from"], keys["ppo.reward_model"]
    shutil.copytree(gold, run, symlinks=True)
    keys = keys | reward_keys(Grid("1x1x1")) | {"run.directory": run, "run.steps": STEPS + 1, "grid.data": 1}

    def refused(what, given):
        ended = bench.run(deck, 1, keys | given)
        bench.check(ended.code == 65 and what in ended.text and len(ended.errors()) == 1 and steps_done(run) == STEPS,
                    f"another {what} in a restart: code {ended.code}", ended.text)

    refused("[ppo] reference", {"ppo.reference": checkpoints(policy)[0]})
    refused("[ppo] reward_model", {"ppo.reward_model": checkpoints(reward)[0]})
    text = keys["ppo.prompts"].read_text()
    keys["ppo.prompts"].write_text(text.replace("sea", "lee"))
    refused("[ppo] prompts", {})
    keys["ppo.prompts"].write_text(text)
    moved = bench.work / "moved"
    shutil.copytree(policy, moved, symlinks=True)
    ended = bench.run(deck, 1, keys | {"run.initialize_from": bench.work / "none", "ppo.value_model": bench.work / "none",
                                       "ppo.reference": moved})
    bench.check(ended.code == 0 and steps_done(run) == STEPS + 1,
                f"without the weights that the checkpoint replaces: code {ended.code}", ended.text)
    bench.case("restarts with another reference, reward model and prompts: code 65; without the first weights: code 0")


def averages(bench, deck, keys, gold):
    """A run may begin with another one's average, which is then its reference as well."""
    first = {}
    for kind in ("model", "average"):
        run = bench.work / kind
        ended = bench.run(deck, 1, keys | reward_keys(Grid("1x1x1")) | {
            "run.directory": run, "run.steps": 1, "grid.data": 1, "run.initialize_from": gold, "run.initialize_weights": kind})
        bench.check(ended.code == 0, f"from the {kind}: code {ended.code}", ended.text)
        first[kind] = json.loads(metrics(run).splitlines()[0])
        bench.check(first[kind]["kl"] == 0, f"from the {kind}: the policy begins as its reference: {first[kind]}")
    bench.check(first["model"]["entropy"] != first["average"]["entropy"], f"the average is not the model: {first}")
    bench.case("from another run's weights, and from their average")


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
        rate = RATE * min(1, WARMUP_START + (1 - WARMUP_START) * before["tokens"] / WARMUP_TOKENS)
        bench.check(abs(line["learning_rate"] - rate) < 1e-9, f"{name}: {line} after {before['tokens']} tokens: not {rate}")


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
    inputs(bench, deck, models, bench.work / "ppo_ptx")
    averages(bench, deck, models, bench.work / "ppo_ptx")
    bench.finish()


main()
