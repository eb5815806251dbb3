#!/usr/bin/env python3
"""What came out of jobs/hh.sh: hh_table.py RUNS"""
import json
import pathlib
import sys


def metrics(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def numbers(run, name):
    """Of the steps that have it, for a message."""
    return [line[name] for line in metrics(run) if name in line] or [float("nan")]


def kept(data, name):
    report = json.loads((data / f"{name}_report.json").read_text())
    parts = {part: counts["records"] for part, counts in report["kept"].items()}
    return parts, report["records"], report["shortened_prompts"]


def between(interval, factor=1):
    digits = 1 if factor == 100 else 3
    return f"{factor * interval[0]:.{digits}f} ... {factor * interval[1]:.{digits}f}"


def policy(found):
    return (f"score {found['score']:.3f} ({between(found['score_interval'])}), "
            f"{found['response_tokens']:.0f} tokens a response")


def main(folder):
    runs = pathlib.Path(folder)
    pairs, given, shortened = kept(runs / "data", "pairs")
    demonstrations, _, _ = kept(runs / "data", "demonstrations")
    accuracy = json.loads((runs / "reward/reward_report.json").read_text())["accuracy"]
    found = json.loads((runs / "evaluate/evaluation.json").read_text())
    rate, equal = found["win_rate"], found["length_controlled_win_rate"]
    pretrained, tuned = (numbers(runs / name, "validation_loss") for name in ("pretrain", "sft"))
    rows = [
        ("pairs", f"{pairs['train']} to learn from, {pairs['validation']} held out, of {given}; "
                  f"{shortened} of the prompts shortened"),
        ("demonstrations", f"{demonstrations['train']}, and the chosen responses"),
        ("pretrain", f"loss on held-out dialogues {pretrained[-1]:.2f} nats a token"),
        ("sft", f"loss of held-out chosen responses {min(tuned):.2f} nats a token"),
        ("reward", f"orders {100 * accuracy['share']:.1f} % of {accuracy['pairs']} held-out pairs as people did "
                   f"({between((accuracy['low'], accuracy['high']), 100)} %)"),
        ("before PPO", policy(found["opponent"])),
        ("after PPO", f"{policy(found['policy'])}, KL {found['policy']['kl']:.2f} nats"),
        ("win rate", f"{100 * rate['share']:.1f} % of {rate['trials']} held-out prompts by the reward model "
                     f"({between(rate['interval'], 100)} %), {100 * equal['share']:.1f} % at equal length")]
    print("\nOn pairs and prompts that nothing was trained on, with 95 % intervals:")
    for name, value in rows:
        print(f"  {name:16} {value}")
    print(f"\nResponses side by side: {runs}/evaluate_samples.jsonl. Reports, for a browser:")
    for name in ("reward", "ppo"):
        print(f"  {(runs / name / 'report.html').resolve()}")


main(*sys.argv[1:])
