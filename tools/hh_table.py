#!/usr/bin/env python3
"""What came out of jobs/hh.sh, as a table."""
import argparse
import json
import math
import pathlib
import sys

NORMAL_95 = 1.959963984540054


def validation_loss(run, pick):
    """Of the steps that were validated; a run of fewer steps than that has none."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found = [line["validation_loss"] for line in lines if "validation_loss" in line]
    return f"{pick(found):.2f} nats a token" if found else "not measured in so few steps"


def report_of(path):
    return json.loads(path.read_text())


def between(interval, factor=1):
    digits = 1 if factor == 100 else 3
    return f"{factor * interval[0]:.{digits}f} ... {factor * interval[1]:.{digits}f}"


def accuracy(runs):
    """Of all pairs, each by the reward model that has not seen it, with Wilson's interval."""
    folds = [report_of(runs / f"reward_{fold}/reward_report.json")["accuracy"] for fold in (1, 2, 3)]
    pairs = sum(fold["pairs"] for fold in folds)
    share = sum(fold["share"] * fold["pairs"] for fold in folds) / pairs
    square = NORMAL_95 ** 2 / pairs
    reach = math.sqrt(square * (share * (1 - share) + square / 4))
    interval = [(share + square / 2 + sign * reach) / (1 + square) for sign in (-1, 1)]
    parts = ", ".join(f"{100 * fold['share']:.1f}" for fold in folds)
    return (f"order {100 * share:.1f} % of {pairs} pairs as people did ({between(interval, 100)} %), "
            f"each pair by the one that has not seen it (by part: {parts})")


def policy(found):
    return (f"score {found['score']:.3f} ({between(found['score_interval'])}), "
            f"{found['response_tokens']:.0f} tokens a response")


def rate(found, judge):
    plain, equal = found["win_rate"], found["length_controlled_win_rate"]
    return (f"{100 * plain['share']:.1f} % of {plain['trials']} held-out prompts by {judge} "
            f"({between(plain['interval'], 100)} %), {100 * equal['share']:.1f} % at equal length")


def main(folder):
    runs = pathlib.Path(folder)
    pairs, demonstrations = (report_of(runs / f"data/{name}_report.json") for name in ("pairs_1", "demonstrations"))
    parts = [part["records"] for part in pairs["kept"].values()]
    found, other = (report_of(runs / name / "evaluation.json") for name in ("evaluate", "evaluate_other"))
    rows = [
        ("pairs", f"{sum(parts)} of {pairs['records']} in three parts, {', '.join(map(str, parts))}; "
                  f"{pairs['shortened_prompts']} of their prompts lost their oldest turns"),
        ("demonstrations", f"{demonstrations['kept']['train']['records']} of {demonstrations['records']}, and chosen "
                           "responses"),
        ("pretrain", f"loss on held-out instructions {validation_loss(runs / 'pretrain', lambda found: found[-1])}"),
        ("sft", f"loss of held-out chosen responses {validation_loss(runs / 'sft', min)}"),
        ("reward models", accuracy(runs)),
        ("before PPO", policy(found["opponent"])),
        ("after PPO", f"{policy(found['policy'])}, KL {found['policy']['kl']:.2f} nats"),
        ("win rate", rate(found, "the reward model")),
        ("", rate(other, "another one"))]
    print("\nOn pairs and prompts that were held out, with 95 % intervals:")
    for name, value in rows:
        print(f"  {name:16} {value}")
    print(f"\nResponses side by side: {runs}/evaluate_samples.jsonl. Reports, for a browser:")
    for name in ("reward_1", "ppo"):
        print(f"  {(runs / name / 'report.html').resolve()}")


def start():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", help="the folder that jobs/hh.sh has written, runs/hh if nothing else was said")
    arguments = parser.parse_args()
    try:
        main(arguments.runs)
    except OSError as error:
        sys.exit(f"hh_table: {error.filename}: {error.strerror}; give the folder of a finished jobs/hh.sh")


start()
