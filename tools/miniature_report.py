#!/usr/bin/env python3
"""What came out of jobs/miniature.sh, as a table in the terminal and as a story in RUNS/report.html.

    miniature_report.py RUNS SEED ...
"""
import html
import pathlib
import re
import sys

from miniature_results import STAGES, Results, records

TITLES = {"base": "base", "base_shot": "base, an example shown", "base_large": "base × 10",
          "base_large_shot": "base × 10, an example shown", "sft": "SFT", "ppo": "PPO", "ppo_ptx": "PPO-ptx"}
LABELS = {"base": "base", "base_shot": "base + example", "base_large": "base x 10", "base_large_shot": "base x 10 + example"}
SAMPLES = 6


def print_table(results):
    print("\nGold judge: 0 to 1, on unseen prompts, with a 95 % interval. Plays: perplexity of held-out plays")
    print(f"{'model':20} {'gold judge':15}  {'insults':>8} {'flattery':>9} {'plays':>7}  {'reward':>8} {'KL':>6}")
    for name in results.names():
        mean, error = results.gold(name)
        last = (results.metrics(name) or [{}])[-1]
        reward, divergence = (last[key] if "kl" in last else None for key in ("reward", "kl"))
        print(f"{LABELS.get(name, name):20} {mean:.3f} +- {error:.3f}  {results.part(name, 'insults'):8.3f} "
              f"{results.part(name, 'flattery'):9.3f} {results.perplexity(name):7.2f}  "
              f"{'' if reward is None else f'{reward:8.3f}':8} {'' if divergence is None else f'{divergence:6.2f}':6}".rstrip())


def print_claims(claims):
    print()
    for claim, figures, holds in claims:
        print(f"{'yes' if holds else 'NO '}  {claim}\n     {'; '.join(figures)}")


def scale(low, high, start, end):
    return lambda value: start + (value - low) / (high - low) * (end - start)


def figure(title, body, height, note="", width=460):
    return (f'<figure><svg viewBox="0 0 {width} {height}"><text class="title" x="0" y="14">{title}</text>{body}</svg>'
            f'{f"<p class=note>{note}</p>" if note else ""}</figure>')


def bars(title, rows, high, note=""):
    """rows: (label, [(value, error) ...]): a group of bars beside each label."""
    x, y, body = scale(0, high, 170, 440), 30, ""
    for label, values in rows:
        body += f'<text class="tick end" x="160" y="{y + 7 * len(values) + 1}">{html.escape(label)}</text>'
        for value, error in values:
            body += (f'<rect x="170" y="{y}" width="{x(value) - 170:.1f}" height="10" fill="var(--c1)" opacity=".75"/>'
                     f'<text class="tick" x="{x(value + (error or 0)) + 5:.1f}" y="{y + 9}">{value:.3g}</text>')
            if error:
                body += (f'<line class="axis" x1="{x(value - error):.1f}" x2="{x(value + error):.1f}" y1="{y + 5}" '
                         f'y2="{y + 5}" stroke-width="2"/>')
            y += 14
        y += 8
    return figure(title, body, y, note)


def axes(left, right, y, ticks, anchor_x):
    return "".join(f'<line class="grid" x1="{left}" x2="{right}" y1="{y(t):.1f}" y2="{y(t):.1f}"/>'
                   f'<text class="tick end" x="{anchor_x}" y="{y(t) + 4:.1f}">{t:g}</text>' for t in ticks)


def line(points, x, y, css):
    path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
    dots = "".join(f'<circle class="dot {css}" cx="{x(a):.1f}" cy="{y(b):.1f}" r="3"/>' for a, b in points)
    return f'<polyline class="strong {css}" points="{path}"/>{dots}'


def goodhart(results):
    curves = [[(kl ** 0.5 if kl > 0 else 0, reward, gold) for _, kl, reward, gold in results.over_optimisation(seed)]
              for seed in results.seeds]
    widest = max(root for curve in curves for root, _, _ in curve) or 1
    rewards = [reward for curve in curves for _, reward, _ in curve]
    x, bottom = scale(0, widest, 40, 900), 260
    said, judged = scale(min(rewards), max(rewards), bottom, 40), scale(0, 1, bottom, 40)
    body = axes(40, 900, judged, (0, 0.25, 0.5, 0.75, 1), 34)
    for curve in curves:
        body += line([(root, reward) for root, reward, _ in curve], x, said, "c2")
        body += line([(root, gold) for root, _, gold in curve], x, judged, "c1")
    body += f'<text class="tick middle" x="470" y="{bottom + 24}">square root of the divergence from the SFT model</text>'
    return figure("Too little held back", body, bottom + 32,
                  "Orange: what the reward model thinks (its own scale). Blue: the gold judge, 0 to 1. A line a seed; "
                  "ppo.kl_coefficient = 0.005, a hundredth. The labelers like flattery; the policy finds out.", 920)


def reliability(results):
    x, y = scale(0.5, 1, 40, 440), scale(0.5, 1, 220, 40)
    body = axes(40, 440, y, (0.5, 0.6, 0.7, 0.8, 0.9, 1), 34) + '<line class="axis" x1="40" y1="220" x2="440" y2="40"/>'
    for seed in results.seeds:
        found = results.reward_report(seed)["reliability"]
        points = [(bin["mean_confidence"], bin["accuracy"]["share"]) for bin in found if bin["accuracy"]["pairs"]]
        body += line(points, x, y, "c3")
    body += '<text class="tick middle" x="240" y="248">how sure the reward model is</text>'
    return figure("How often it is right", body, 256, "Of unseen pairs; the straight line is perfect calibration.")


def samples(results):
    names = ["base", *(f"seed_{results.seeds[0]}/{stage}" for stage in STAGES)]
    free = sorted((results.runs / f"seed_{results.seeds[0]}").glob("free_*.responses.jsonl"))
    if free:
        names.append(f"seed_{results.seeds[0]}/{free[-1].name.removesuffix('.responses.jsonl')}")
    told = [results.responses(name) for name in names]
    heads = "".join(f"<th>{TITLES.get(name.split('/')[-1], 'PPO, not held')}</th>" for name in names)
    rows = ""
    for i, prompt in enumerate(results.prompts()[:SAMPLES]):
        cells = "".join(f"<td>{html.escape(texts[i])}</td>" for texts in told)
        rows += f"<tr><td><b>{html.escape(prompt)}</b></td>{cells}</tr>"
    style = "<style>.samples td { padding-right: 14px; width: 17%; }</style>"
    return f'{style}<table class="samples"><tr><th></th>{heads}</tr>{rows}</table>'


def page(results, claims):
    style = re.search(r"<style>.*?</style>", (results.runs / "base/report.html").read_text(), re.DOTALL).group(0)
    gold = [(TITLES[name], [results.gold(name)]) for name in results.bases]
    gold += [(TITLES[stage], [results.gold(f"seed_{seed}/{stage}") for seed in results.seeds]) for stage in STAGES]
    text = [("base", [(results.perplexity("base"), None)])]
    for stage in STAGES:
        text.append((TITLES[stage], [(results.perplexity(f"seed_{seed}/{stage}"), None) for seed in results.seeds]))
    shares = [results.reward_report(seed)["by_source"]["training"]["share"] for seed in results.seeds]
    people = [("reward model", [(share, None) for share in shares]),
              ("people without noise", [(results.ceiling(seed), None) for seed in results.seeds])]
    listed = "".join(f"<tr><th>{'yes' if holds else 'no'}</th><td>{html.escape(claim)}<br><span class=note>"
                     f"{html.escape('; '.join(figures))}</span></td></tr>" for claim, figures, holds in claims)
    shown = [record for record in records(results.runs / "task/forum.jsonl") if record["text"].count("\nA: ") > 1][:3]
    forum = html.escape("\n".join(record["text"] for record in shown))
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>The miniature InstructGPT</title>{style}<body>
<header><p class="eyebrow">Coxswain</p><h1>The miniature InstructGPT</h1>
<p class="status">A small model of plays and of a careless forum learns to do what it is asked: {len(results.seeds)} seeds,
measured by a judge that no training sees.</p></header>
<h2>What it read</h2><pre>{forum}</pre><p class="note">It knows words and kinds, and it has no reason to answer well.</p>
<h2>What it says</h2>{samples(results)}
<h2>What each stage is worth</h2><div class="pair">{bars("Gold judge, 0 to 1", gold, 1.1, "A bar a seed; 95 % intervals.")}
{bars("Perplexity of held-out plays", text, 1.15 * max(v for _, values in text for v, _ in values),
      "What PPO forgets, pre-training text beside it keeps.")}</div>
<h2>The reward model</h2><div class="pair">{bars("Unseen pairs ordered as people did", people, 1.1)}{reliability(results)}</div>
<h2>Too much of a good thing</h2>{goodhart(results)}
<h2>The claims</h2><table>{listed}</table></body></html>
"""


def main(runs, *seeds):
    results = Results(runs, seeds)
    claims = results.claims()
    print_table(results)
    print_claims(claims)
    report = pathlib.Path(runs) / "report.html"
    report.write_text(page(results, claims))
    print(f"\nThe story with plots, for a browser: {report.resolve()}")


if __name__ == "__main__":
    if {"--help", "-h"} & set(sys.argv):
        print(__doc__)
        sys.exit()
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
