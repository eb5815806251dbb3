"""What jobs/miniature.sh has left in its run directory, read and summed up: the gold judge's scores, the plays' perplexity, the
reward model's report, and the five claims of the miniature with their figures."""
import collections
import json
import pathlib
import re
import statistics

STAGES = ("sft", "ppo", "ppo_ptx")
BASES = ("base", "base_shot", "base_large", "base_large_shot")


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def mean_and_error(values):
    """The mean and half of its 95 % interval, of independent values."""
    if len(values) < 2:
        return values[0], float("nan")
    return statistics.fmean(values), 1.96 * statistics.stdev(values) / len(values) ** 0.5


class Results:
    def __init__(self, runs, seeds):
        self.runs, self.seeds = pathlib.Path(runs), list(seeds)
        self.bases = [name for name in BASES if (self.runs / f"{name}.gold.jsonl").exists()]

    def names(self):
        return self.bases + [f"seed_{seed}/{stage}" for seed in self.seeds for stage in STAGES]

    def scores(self, name):
        """The mean score of each prompt's responses; those of one prompt are not independent of each other."""
        by_prompt = collections.defaultdict(list)
        for record in records(self.runs / f"{name}.gold.jsonl"):
            by_prompt[record["prompt"]].append(record["score"])
        return [statistics.fmean(scores) for scores in by_prompt.values()]

    def gold(self, name):
        return mean_and_error(self.scores(name))

    def part(self, name, what):
        said = (self.runs / f"{name}.gold.txt").read_text()
        return float(re.search(rf"^{what} +([0-9.]+)", said, re.MULTILINE).group(1))

    def perplexity(self, name):
        path = self.runs / f"{name.removesuffix('_shot')}.text/evaluation.json"
        return json.loads(path.read_text())["perplexity"]["perplexity"]

    def metrics(self, name):
        path = self.runs / name / "metrics.jsonl"
        return records(path) if path.exists() else []

    def responses(self, name):
        """The first response to each prompt of prompts()."""
        found = records(self.runs / f"{name}.responses.jsonl")
        return [record["response"] for record in found[::len(found) // len(self.prompts())]]

    def prompts(self):
        return [record["prompt"] for record in records(self.runs / "task/prompts_test.jsonl")]

    def reward_report(self, seed):
        return json.loads((self.runs / f"seed_{seed}/reward/reward_report.json").read_text())

    def ceiling(self, seed, group="training"):
        name = "ceiling" if group == "training" else "ceiling_others"
        return float(re.search(r"ceiling ([0-9.]+)", (self.runs / f"seed_{seed}/{name}.txt").read_text()).group(1))

    def over_optimisation(self, seed):
        """[(step, KL in nats, reward, gold)]: the run that nothing holds back, at its checkpoints; step 0 is the SFT model."""
        steps = {line["step"]: line for line in self.metrics(f"seed_{seed}/free")}
        points = [(0, 0.0, steps[1]["reward"], self.gold(f"seed_{seed}/sft")[0])] if steps else []
        for path in sorted((self.runs / f"seed_{seed}").glob("free_*.gold.jsonl")):
            name = path.name.removesuffix(".gold.jsonl")
            line = steps[int(name.removeprefix("free_"))]
            points.append((line["step"], line["kl"], line["reward"], self.gold(f"seed_{seed}/{name}")[0]))
        return points

    def best_base(self, names):
        return max(names, key=lambda name: self.gold(name)[0])

    def claims(self):
        """[(claim, [figure of each seed], holds)]"""
        return [self.helpful(), self.small_beats_large(), self.reward_model(), self.tax(), self.kept(), self.goodhart()]

    def helpful(self):
        base = self.gold(self.best_base([name for name in self.bases if "large" not in name]))[0]
        rows = [(base, *(self.gold(f"seed_{seed}/{stage}")[0] for stage in ("sft", "ppo"))) for seed in self.seeds]
        return ("PPO beats SFT beats the prompted base model (gold judge)",
                [" < ".join(f"{value:.3f}" for value in row) for row in rows], all(a < b < c for a, b, c in rows))

    def small_beats_large(self):
        large = self.best_base([name for name in self.bases if "large" in name])
        rows = [(self.gold(f"seed_{seed}/ppo_ptx")[0], self.gold(large)[0]) for seed in self.seeds]
        return ("aligned, it beats a prompted model of ten times the weights (gold judge)",
                [f"{a:.3f} > {b:.3f}" for a, b in rows], all(a > b for a, b in rows))

    def reward_model(self):
        rows = [(100 * self.reward_report(seed)["by_source"]["training"]["share"], 100 * self.ceiling(seed))
                for seed in self.seeds]
        return ("the reward model orders unseen pairs nearly as well as people's noise allows (within 3 points)",
                [f"{share:.1f} of {ceiling:.1f} %" for share, ceiling in rows], all(c - s <= 3 for s, c in rows))

    def tax(self):
        rows = [[self.perplexity(f"seed_{seed}/{stage}") for stage in STAGES] for seed in self.seeds]
        return ("PPO forgets the plays, PPO-ptx wins back half of that or more (perplexity: SFT, PPO, PPO-ptx)",
                [f"{sft:.1f}, {ppo:.1f}, {ptx:.1f}" for sft, ppo, ptx in rows],
                all(ppo > sft and ppo - ptx >= 0.5 * (ppo - sft) for sft, ppo, ptx in rows))

    def kept(self):
        rows = []
        for seed in self.seeds:
            sft, ppo, ptx = (self.gold(f"seed_{seed}/{stage}")[0] for stage in STAGES)
            rows.append((ptx - sft) / (ppo - sft))
        mean = statistics.fmean(rows)
        return ("and keeps 90 % of PPO's gain or more (gold judge, mean of the seeds)",
                [f"{100 * row:.0f} %" for row in rows] + [f"mean {100 * mean:.0f} %"], mean >= 0.9)

    def goodhart(self):
        texts, holds = [], True
        for seed in self.seeds:
            name, free = f"seed_{seed}/ppo", self.over_optimisation(seed)[-1]
            reward, gold = self.metrics(name)[-1]["reward"], self.gold(name)[0]
            texts.append(f"reward {reward:.2f} to {free[2]:.2f}, gold {gold:.3f} to {free[3]:.3f}")
            holds = holds and free[2] > reward and free[3] < gold
        return "too small a KL coefficient over-optimises after as many steps: reward up, gold judge down", texts, holds
