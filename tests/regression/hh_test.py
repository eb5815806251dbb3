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

STAGES = ["prepare_whole", "vocabulary", "prepare_demonstrations", "prepare_pairs", "tokenize", "tokenize_text", "pretrain",
          "sft", "reward_1", "reward_2", "reward_3", "ppo", "evaluate", "evaluate_other"]


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
    for words in ("60 of 60 in three parts", "30 of their prompts lost", "of 60 pairs as people did", "after PPO", "win rate",
                  "not measured in so few steps", "report.html"):
        bench.check(words in ended.stdout, f"the table lacks '{words}'", ended.stdout)
    parts = [numbers(runs / f"data/pairs_{part}.jsonl") for part in (1, 2, 3)]
    bench.check(sorted(sum(map(list, parts), [])) == list(range(60)) and all(parts), f"each pair is in one part: {parts}")
    samples = [json.loads(line)["prompt"] for line in (runs / "evaluate_samples.jsonl").read_text().splitlines()]
    bench.check({int(re.search(r"pair (\d+):", prompt).group(1)) for prompt in samples} == parts[2], "held-out prompts")
    for name, learned in (("reward_1", {1, 2}), ("reward_2", {1, 3}), ("reward_3", {2, 3}), ("ppo", {1, 2}), ("sft", {1, 2})):
        deck = (runs / name / "deck.ini").read_text()
        key = {"ppo": "prompts", "sft": "demonstrations"}.get(name, "comparisons")
        line = re.search(rf"^{key} = (.*pairs.*)$", deck, re.MULTILINE).group(1)
        bench.check({int(part) for part in re.findall(r"pairs_(\d)", line)} == learned, f"{name} learns from {line}")
    bench.case(f"{[len(part) for part in parts]} pairs, each held out once; all stages and the table")

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
    bench.check(not (work / f"runs_{len('none.jsonl')}").exists(), "a name that was mistyped is remembered")
    bench.case("nothing twice; other files, missing and wrong ones are named")
    bench.finish()


main()
