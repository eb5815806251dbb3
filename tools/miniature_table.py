#!/usr/bin/env python3
"""What came out of jobs/miniature.sh, as measured by the gold judge: miniature_table.py RUNS SEED ..."""
import json
import pathlib
import re
import sys


def gold_of(path):
    scores = [json.loads(line)["score"] for line in path.read_text().splitlines()]
    mean = sum(scores) / len(scores)
    error = (sum((score - mean) ** 2 for score in scores) / len(scores) / (len(scores) - 1)) ** 0.5
    return mean, 1.96 * error


def part_of(path, name):
    return float(re.search(rf"^{name} +([0-9.]+)", path.read_text(), re.MULTILINE).group(1))


def last_metric(run, name):
    lines = (run / "metrics.jsonl").read_text().splitlines() if (run / "metrics.jsonl").exists() else []
    return json.loads(lines[-1]).get(name) if lines else None


def row(runs, name):
    gold, error = gold_of(runs / f"{name}.gold.jsonl")
    text = json.loads((runs / f"{name}.text/evaluation.json").read_text())["perplexity"]["perplexity"]
    said = runs / f"{name}.gold.txt"
    reward, divergence = last_metric(runs / name, "reward"), last_metric(runs / name, "kl")
    print(f"{name:18} {gold:.3f} +- {error:.3f}   {part_of(said, 'insults'):8.3f} {part_of(said, 'flattery'):9.3f} {text:11.2f}"
          f"   {'' if reward is None else f'{reward:8.3f}':8} {'' if divergence is None else f'{divergence:6.2f}':6}")


def main(runs, *seeds):
    runs = pathlib.Path(runs)
    print("\nGold judge: 0 to 1, on unseen prompts, with a 95 % interval. Plays: perplexity of held-out plays")
    print(f"{'model':18} {'gold judge':15}   {'insults':>8} {'flattery':>9} {'plays':>11}   {'reward':>8} {'KL':>6}")
    row(runs, "base")
    for seed in seeds:
        for model in ("sft", "ppo", "ppo_ptx"):
            row(runs, f"seed_{seed}/{model}")
        report = json.loads((runs / f"seed_{seed}/reward/reward_report.json").read_text())
        ceiling = re.search(r"ceiling ([0-9.]+)", (runs / f"seed_{seed}/ceiling.txt").read_text()).group(1)
        print(f"seed {seed}: reward model orders {100 * report['accuracy']['share']:.1f} % of held-out pairs as people did, "
              f"people's opinion without its noise {100 * float(ceiling):.1f} %")


main(*sys.argv[1:])
