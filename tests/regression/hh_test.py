#!/usr/bin/env python3
"""jobs/hh.sh from a user's files to its table, in small: each stage runs, nothing that is held out is trained on, a second call
finds all finished, other files are refused, and a file that is wrong is named."""
import json
import os
import random
import re
import subprocess

from alignment import WORDS, write_lines
from jobs import ENVIRONMENT, SOURCE, TEXT, Bench

STAGES = ["prepare_whole_pairs", "prepare_whole_demonstrations", "vocabulary", "prepare_pairs", "prepare_demonstrations",
          "tokenize_preferences", "tokenize_instructions", "tokenize_held_out", "tokenize_text", "pretrain", "sft", "reward",
          "ppo", "evaluate"]


def pairs(count):
    """In hh-rlhf's form; every other one has a conversation that is too long for the model in front of it."""
    chance = random.Random(1)
    for i in range(count):
        long = "".join(f"\n\nHuman: {' '.join(chance.choices(WORDS, k=60))}\n\nAssistant: aye" for _ in range(6 * (i % 2)))
        prompt = f"{long}\n\nHuman: pair {i}: {' '.join(chance.choices(WORDS, k=4))}?\n\nAssistant: "
        yield {"chosen": prompt + f"aye, {chance.choice(WORDS)}", "rejected": prompt + f"no, never, {chance.choice(WORDS)}"}


def instructions():
    speeches = [speech.strip() for speech in TEXT.read_text().split("\n\n")[:700]]
    return [{"instruction": "Speak like a play.", "input": speech.split("\n")[0], "output": speech.partition("\n")[2]}
            for speech in speeches if "\n" in speech]


def call(bench, runs, *files):
    environment = dict(os.environ) | ENVIRONMENT | {"COXSWAIN": str(bench.program), "RUNS": str(runs), "RANKS": "1",
                                                    "PRETRAIN_STEPS": "2", "PPO_STEPS": "1", "OMP_NUM_THREADS": "1"}
    bench.jobs += 1
    return subprocess.run(["bash", SOURCE / "jobs/hh.sh", *files], env=environment, capture_output=True, text=True,
                          timeout=300, stdin=subprocess.DEVNULL, cwd=bench.work)


def numbers(path):
    return {int(number) for number in re.findall(r"pair (\d+):", path.read_text())}


def main():
    bench = Bench("hh")
    work, runs = bench.work, bench.work / "runs"
    preferences = write_lines(work / "preferences.jsonl", pairs(60))
    (work / "instructions.json").write_text(json.dumps(instructions()))
    (work / "text.txt").write_bytes(TEXT.read_bytes()[:50_000])
    files = ["preferences.jsonl", "instructions.json", "text.txt"]  # relative to where the user is
    ended = call(bench, runs, *files)
    if not bench.check(ended.returncode == 0, f"code {ended.returncode}", ended.stdout + ended.stderr):
        bench.finish()
    bench.check(re.findall(r"^   (\w+) +\d+ s$", ended.stdout, re.MULTILINE) == STAGES, "every stage is said", ended.stdout)
    for words in ("to learn from", "30 of the prompts shortened", "held-out pairs as people did", "after PPO", "win rate",
                  "report.html"):
        bench.check(words in ended.stdout, f"the table lacks '{words}'", ended.stdout)
    data = runs / "data"
    trained, held_out = numbers(data / "pairs.jsonl"), numbers(data / "pairs_held_out.jsonl")
    bench.check(trained | held_out == set(range(60)) and not trained & held_out, f"{len(trained)} and {len(held_out)} pairs")
    bench.check(numbers(data / "whole_pairs.jsonl") == trained, "the text to pre-train on has held-out pairs in it")
    samples = (runs / "evaluate_samples.jsonl").read_text().splitlines()
    bench.check(len(samples) == len(held_out), f"{len(samples)} samples of {len(held_out)} held-out prompts")
    bench.case(f"{len(trained)} pairs to learn from, {len(held_out)} held out; all stages and the table")

    again = call(bench, runs, *files)
    bench.check(again.returncode == 0 and "prepare" not in again.stdout and "after PPO" in again.stdout,
                "a second call has nothing to do but the table", again.stdout + again.stderr)
    other = call(bench, runs, files[0], files[1])
    bench.check(other.returncode == 64 and "is of other files" in other.stderr, "other files", other.stderr)
    bench.check(call(bench, runs, preferences).returncode == 64, "one file alone")
    for name, given, words in (("missing", ["none.jsonl", files[1]], "none.jsonl"),
                               ("instructions for pairs", [files[1], files[1]], "no \"responses\"")):
        wrong = call(bench, work / f"runs_{len(words)}", *given)
        bench.check(wrong.returncode == 65 and words in wrong.stderr, f"{name}: code {wrong.returncode}", wrong.stderr)
    bench.case("nothing twice; other files, missing and wrong ones are named")
    bench.finish()


main()
