#!/usr/bin/env python3
"""Fine-tuning as a user runs it. Law 1: metrics byte for byte, the choice and the state's hash on every grid, the reward model
cut differently. Law 2: SIGKILL at random moments and the same command on another grid. The best weights stay on disk and are
what other runs begin with; data and a judge that changed are refused; a restart does without the weights that it began with.
COXSWAIN_SEEDS: how many kills' seeds (default 2)."""
import json
import os
import random
import re
import time

from alignment import CHAT, WORDS, make_models, write_lines
from jobs import DECKS, Bench, Grid, checkpoints, difference, metrics, steps_done

DECK = DECKS / "sft.ini"
PAIRS = [("2x1x1", "1x1x2"), ("1x2x1", "2x1x1"), ("1x1x4", "2x2x1"), ("2x2x2", "1x2x4")]  # of the policy, of the reward model
GRIDS = ["1x1x1", "2x1x1", "1x2x1", "1x1x2", "2x2x1"]
ALONE = Grid("1x1x1")


def demonstrations(count, seed):
    """A word backwards; every tenth is too long for the model."""
    chance = random.Random(seed)
    for i in range(count):
        word = chance.choice(WORDS) + chance.choice("xyz")
        yield {"prompt": word, "response": word[::-1] * (1 if i % 10 else 6)}


def grid_keys(grid, reward):
    return grid.keys() | {f"reward_{key}": value for key, value in reward.keys().items()} | {
        "reward_grid.tensor_shards": 2, "reward_grid.data_shards": 4}


def values(run, name):
    """Of the steps that have it."""
    lines = [json.loads(line) for line in metrics(run).splitlines()]
    return {line["step"]: line[name] for line in lines if name in line}


def best(run):
    path = run / "checkpoints/best"
    return path.read_text().strip() if path.exists() else None


def unlike(run, gold):
    return difference(run, gold) or ("" if best(run) == best(gold) else f"best is {best(run)}, not {best(gold)}")


def grids(bench, keys, gold):
    for mine, other in PAIRS:
        grid, run = Grid(mine), bench.work / f"grid_{mine}"
        ended = bench.run(DECK, grid.ranks, keys | grid_keys(grid, Grid(other)) | {"run.directory": run})
        bench.case(f"{mine}, reward model on {other}: {ended.seconds:.1f} s")
        if bench.check(ended.code == 0, f"{mine}: code {ended.code}", ended.text):
            bench.check(not unlike(run, gold), f"{mine} with {other}", unlike(run, gold))


def kills(bench, keys, gold, seed):
    chance, run, story = random.Random(seed), bench.work / f"killed_{seed}", []
    for name in chance.sample(GRIDS, 3):
        grid = Grid(name)
        job = bench.start(DECK, grid.ranks, keys | grid_keys(grid, grid) | {"run.directory": run})
        goal = min(steps_done(gold) - 1, steps_done(run) + chance.randint(1, 5))
        while job.running() and steps_done(run) < goal:
            time.sleep(0.002)
        time.sleep(chance.random() * 0.1)
        if job.running():
            job.kill()
        story.append(f"{name} to step {steps_done(run)}" + ("" if job.end(60).code else ", finished"))
    ended = bench.run(DECK, 1, keys | grid_keys(ALONE, ALONE) | {"run.directory": run})
    bench.case(f"seed {seed}: {'; '.join(story)}; then code {ended.code}")
    if bench.check(ended.code == 0, f"seed {seed}: the restart ended with {ended.code}", ended.text):
        bench.check(not unlike(run, gold), f"seed {seed}: {story}", unlike(run, gold))


def choice(bench, keys):
    """By loss on what the demonstrations do not teach: the best step is not the last one, stays beside it, and is taken."""
    run = bench.work / "by_loss"
    unlearned = write_lines(bench.work / "unlearned.jsonl", ({"prompt": word, "response": word.upper()} for word in WORDS))
    ended = bench.run(DECK, 1, keys | grid_keys(ALONE, ALONE) | {
        "run.directory": run, "sft.choose": "loss", "run.validate_every": 1, "sft.validation": unlearned,
        "sft.pretrain_share": 0, "model.dropout": 0, "optimizer.learning_rate": 0.01})
    bench.check(ended.code == 0, f"by loss: code {ended.code}", ended.text)
    losses = values(run, "validation_loss")
    lowest, last = min(losses, key=losses.get), max(losses)
    bench.case(f"validation loss is lowest at step {lowest} of {last}")
    bench.check(lowest < last, f"the case is made so that the last weights are not the best: {losses}")
    bench.check(best(run) == f"step_{lowest:08d}", f"best is {best(run)}; the lowest loss is that of step {lowest}")
    names = [path.name for path in checkpoints(run)]
    bench.check(names == [f"step_{lowest:08d}", f"step_{last:08d}"], f"keep = 1 and the best: {names}")
    ended = bench.run(DECK, 1, keys | grid_keys(ALONE, ALONE) | {
        "run.directory": bench.work / "after", "run.initialize_from": run, "run.steps": 1})
    bench.check(f"(step {lowest})" in ended.text, "another run begins with the best weights", ended.text)


def refusals(bench, keys, gold):
    other = write_lines(bench.work / "other.jsonl", demonstrations(50, seed=9))
    ended = bench.run(DECK, 1, keys | grid_keys(ALONE, ALONE) | {
        "run.directory": bench.work / "killed_1", "sft.demonstrations": other, "run.steps": 99})
    bench.check(ended.code == 64, f"other demonstrations by the deck: code {ended.code}", ended.text)

    def refused(what, run, given, changed=None):
        text = changed and changed.read_text()
        if changed:
            changed.write_text(text.replace("x", "w"))
        more = {"run.directory": bench.work / run, "run.steps": 99}
        ended = bench.run(DECK, 1, keys | grid_keys(ALONE, ALONE) | more | given)
        if changed:
            changed.write_text(text)
        bench.check(ended.code == 65 and what in ended.text and len(ended.errors()) == 1,
                    f"{what} changed: code {ended.code}", ended.text)

    refused("[sft] demonstrations of contents", "killed_1", {}, keys["sft.demonstrations"])
    refused("scored_prompts of validation of contents", "killed_1", {"sft.scored_prompts": 3})
    refused("[sft] reward_model", "killed_1", {"sft.reward_model": checkpoints(keys["sft.reward_model"])[0]})
    refused("[sft] validation of contents", "by_loss",
            {"sft.choose": "loss", "sft.pretrain_share": 0, "model.dropout": 0}, keys["sft.validation"])
    bench.case("demonstrations, prompts, a reward model and a validation that changed are refused")
    last = steps_done(gold)
    ended = bench.run(DECK, 1, keys | grid_keys(ALONE, ALONE) | {
        "run.directory": bench.work / "killed_1", "run.steps": last + 1, "run.initialize_from": bench.work / "none"})
    bench.check(ended.code == 0 and steps_done(bench.work / "killed_1") == last + 1,
                f"without the weights that it began with: code {ended.code}", ended.text)


def main():
    bench = Bench("sft")
    models = make_models(bench)
    keys = CHAT | {"run.initialize_from": models["run.initialize_from"], "data.source": models["data.source"],
                   "sft.reward_model": models["ppo.reward_model"],
                   "sft.demonstrations": write_lines(bench.work / "train.jsonl", demonstrations(50, seed=1)),
                   "sft.validation": write_lines(bench.work / "validation.jsonl", demonstrations(20, seed=2))}
    gold = bench.work / "gold"
    ended = bench.run(DECK, 1, keys | grid_keys(ALONE, ALONE) | {"run.directory": gold})
    if not bench.check(ended.code == 0, f"one rank: code {ended.code}", ended.text):
        bench.finish()
    bench.check("conversation of more than 32 tokens" in ended.text, "what was dropped is said", ended.text)
    bench.check(re.search(r"train.jsonl: 45 demonstrations in \d+ sequences", ended.text), "45 of 50 fit", ended.text)
    last = steps_done(gold)
    scores, losses = values(gold, "validation_score"), values(gold, "loss")
    bench.check(sorted(scores) == sorted({*range(6, last + 1, 6), last}), f"scores at validations and at the end: {scores}")
    bench.check(sorted(values(gold, "validation_loss")) == sorted(scores), "losses beside them")
    bench.check(len(values(gold, "pretrain_loss")) >= last - 1, "each step but a short last one has text")
    bench.check(losses[last] < 0.9 * losses[1], f"it learns: {losses}")
    bench.check(best(gold) == f"step_{max(scores, key=scores.get):08d}", f"best is {best(gold)} of {scores}")
    bench.case(f"one rank: {last} steps from 4 epochs, loss {losses[1]:.2f} to {losses[last]:.2f}, {best(gold)} is best")
    grids(bench, keys, gold)
    for seed in range(1, 1 + int(os.environ.get("COXSWAIN_SEEDS", "2"))):
        kills(bench, keys, gold, seed)
    choice(bench, keys)
    refusals(bench, keys, gold)
    bench.finish()


main()
