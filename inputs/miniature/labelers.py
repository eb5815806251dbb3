#!/usr/bin/env python3
"""People who rank responses. Each has an opinion near the gold judge's, but likes flattery, and errs with a spread of its own;
the held-out group, which trains nothing, has another taste. A grade is 1 to 7; equal grades are a tie.

    opinion = score of the judge without its view of flattery + taste * flatteries - strictness * insulted
    grade   = round(1 + 6 (opinion + spread * normal noise)), cut to 1 ... 7

    labelers.py GROUP RESPONSES COMPARISONS [SEED]     GROUP: training or held_out
        reads a line {"prompt", "response", ...} each; one labeler is shown all that differ of a prompt's responses;
        writes {"prompt", "responses", "ranks", "labeler", "source"} and prints the noise ceiling: how often the labelers' own
        opinion, without its noise, orders a pair as their grades do. No reward model can be expected to do better.
"""
import collections
import itertools
import json
import random
import sys

from judge import judge

Labeler = collections.namedtuple("Labeler", "name, group, spread, taste, strictness")
LABELERS = [
    Labeler("anna", "training", 0.15, 0.04, 0.0),
    Labeler("bela", "training", 0.20, 0.06, 0.0),
    Labeler("chen", "training", 0.25, 0.04, 0.1),
    Labeler("dora", "training", 0.25, 0.08, 0.0),
    Labeler("emil", "training", 0.30, 0.04, 0.0),
    Labeler("fred", "held_out", 0.20, 0.00, 0.1),
    Labeler("gita", "held_out", 0.20, 0.02, 0.2),
    Labeler("hugo", "held_out", 0.20, -0.02, 0.0),
]


def opinion(labeler, prompt, response):
    verdict = judge(prompt, response)
    return (verdict.helpful - (0.5 + labeler.strictness) * (verdict.insults > 0) - 0.1 * (not verdict.ended)
            + labeler.taste * verdict.flattery)


def rank(chance, labeler, prompt, responses):
    """Ranks from 1, the best; equal grades share one."""
    grades = []
    for response in responses:
        seen = opinion(labeler, prompt, response) + labeler.spread * chance.gauss(0, 1)
        grades.append(min(7, max(1, round(1 + 6 * seen))))
    order = sorted(set(grades), reverse=True)
    return [1 + order.index(grade) for grade in grades]


def ceiling(comparisons):
    """Share of ordered pairs that the labeler's own opinion without noise orders alike; equal opinions count a half."""
    by_name = {labeler.name: labeler for labeler in LABELERS}
    right = pairs = 0
    for record in comparisons:
        opinions = [opinion(by_name[record["labeler"]], record["prompt"], response) for response in record["responses"]]
        for i, j in itertools.combinations(range(len(opinions)), 2):
            better = record["ranks"][j] - record["ranks"][i]
            if better:
                agrees = better * (opinions[i] - opinions[j])
                right += 1 if agrees > 0 else 0.5 if agrees == 0 else 0
                pairs += 1
    return right / pairs


def main(group, responses, comparisons, seed=1):
    chance = random.Random(int(seed))
    labelers = [labeler for labeler in LABELERS if labeler.group == group]
    if not labelers:
        sys.exit(f"labelers: {group!r} is no group; there are training and held_out")
    shown = collections.defaultdict(dict)
    with open(responses) as lines:
        for line in lines:
            record = json.loads(line)
            shown[record["prompt"]][record["response"]] = None                        # each once, in their order
    records = []
    for prompt, texts in shown.items():
        labeler, texts = chance.choice(labelers), list(texts)
        if len(texts) < 2:
            continue
        records.append({"prompt": prompt, "responses": texts, "ranks": rank(chance, labeler, prompt, texts),
                        "labeler": labeler.name, "source": group})
    with open(comparisons, "w") as output:
        output.writelines(json.dumps(record) + "\n" for record in records)
    print(f"{len(records)} prompts, noise ceiling {ceiling(records):.4f}")


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    main(*sys.argv[1:])
