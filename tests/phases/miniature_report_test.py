#!/usr/bin/env python3
"""The miniature's claims on figures that are written by hand: all hold, then each is broken by one figure and says so; the page
holds what it should."""
import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))
import miniature_report  # noqa: E402
from miniature_results import Results, mean_and_error  # noqa: E402

GOLD = {"base": 0.4, "base_shot": 0.5, "base_large": 0.45, "base_large_shot": 0.55, "seed_1/sft": 0.7, "seed_1/ppo": 0.9,
        "seed_1/ppo_ptx": 0.885, "seed_1/free_00000020": 0.8, "seed_1/free_00000040": 0.2}
PLAYS = {"base": 16.0, "base_large": 15.0, "seed_1/sft": 18.0, "seed_1/ppo": 24.0, "seed_1/ppo_ptx": 20.0}
REWARDS = [0.1] + [1.0] * 19 + [1.5] * 20
HELPFUL, LARGE, REWARD, TAX, KEPT, GOODHART = range(6)


def write_lines(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def lay_out(runs, gold, plays, share=0.78, rewards=None):
    for name, mean in gold.items():
        write_lines(runs / f"{name}.gold.jsonl", [{"prompt": "Name birds.", "score": mean - 0.3},
                                                  {"prompt": "Name birds.", "score": mean + 0.1},
                                                  {"prompt": "Find fish.", "score": mean},
                                                  {"prompt": "Find fish.", "score": mean + 0.2}])
        write_lines(runs / f"{name}.responses.jsonl", [{"response": text} for text in (f"{name} <1>", "1b", "2", "2b")])
        (runs / f"{name}.gold.txt").write_text(f"score      {mean:.4f}\ninsults    0.1000\nflattery   0.2000\n")
    for name, perplexity in plays.items():
        write_lines(runs / f"{name}.text/evaluation.json", [{"perplexity": {"perplexity": perplexity}}])
    bins = [{"mean_confidence": 0.6, "accuracy": {"share": 0.6, "pairs": 9}}]
    write_lines(runs / "seed_1/reward/reward_report.json",
                [{"by_source": {"training": {"share": share}}, "reliability": bins}])
    (runs / "seed_1/ceiling.txt").write_text("300 prompts, noise ceiling 0.8000\n")
    write_lines(runs / "seed_1/free/metrics.jsonl", [{"step": i + 1, "kl": 0.1 * i, "reward": reward}
                                                     for i, reward in enumerate(rewards or REWARDS)])
    write_lines(runs / "seed_1/ppo/metrics.jsonl", [{"step": 40, "kl": 0.7, "reward": 1.0}])
    write_lines(runs / "task/prompts_test.jsonl", [{"prompt": "Name birds."}, {"prompt": "Find fish."}])
    write_lines(runs / "task/forum.jsonl", [{"text": "Q: a\nA: b\nQ: c\nA: d\n"}])
    (runs / "base").mkdir(exist_ok=True)
    (runs / "base/report.html").write_text("<style>body {}</style>")


class ClaimsTest(unittest.TestCase):
    def setUp(self):
        self.place = tempfile.TemporaryDirectory()
        self.runs = pathlib.Path(self.place.name)

    def tearDown(self):
        self.place.cleanup()

    def broken(self, gold=(), plays=(), **others):
        lay_out(self.runs, GOLD | dict(gold), PLAYS | dict(plays), **others)
        return [i for i, (_, _, holds) in enumerate(Results(self.runs, ["1"]).claims()) if not holds]

    def test_all_hold(self):
        self.assertEqual(self.broken(), [])

    def test_each_can_fail_alone(self):
        self.assertEqual(self.broken({"base_shot": 0.71}), [HELPFUL])
        self.assertEqual(self.broken({"base_large": 0.89}), [LARGE])
        self.assertEqual(self.broken(share=0.769), [REWARD])
        self.assertEqual(self.broken(plays={"seed_1/ppo_ptx": 21.1}), [TAX])
        self.assertEqual(self.broken(plays={"seed_1/ppo": 18.0, "seed_1/ppo_ptx": 17.0}), [TAX])
        self.assertEqual(self.broken({"seed_1/ppo_ptx": 0.87}), [KEPT])
        self.assertEqual(self.broken({"seed_1/free_00000040": 0.9}), [GOODHART])
        self.assertEqual(self.broken(rewards=[0.1] + [1.0] * 39), [GOODHART])

    def test_over_optimisation_begins_with_the_fine_tuned_model(self):
        self.broken()
        points = Results(self.runs, ["1"]).over_optimisation("1")
        self.assertEqual([point[0] for point in points], [0, 20, 40])
        self.assertEqual([round(point[3], 6) for point in points], [0.7, 0.8, 0.2])
        self.assertEqual(points[1][2], 1.0)

    def test_interval(self):
        mean, error = mean_and_error([0.0, 1.0, 0.0, 1.0])
        self.assertEqual(mean, 0.5)
        self.assertAlmostEqual(error, 1.96 * (1 / 3) ** 0.5 / 2)

    def test_responses_to_one_prompt_count_as_one(self):
        self.broken()
        results = Results(self.runs, ["1"])
        self.assertEqual([round(score, 6) for score in results.scores("seed_1/ppo")], [0.8, 1.0])
        self.assertEqual(results.responses("seed_1/ppo"), ["seed_1/ppo <1>", "2"])

    def test_page(self):
        self.broken()
        with contextlib.redirect_stdout(io.StringIO()) as said:
            miniature_report.main(self.runs, "1")
        page = (self.runs / "report.html").read_text()
        self.assertIn("seed_1/ppo &lt;1&gt;", page)
        self.assertEqual(page.count("<svg"), 5)
        self.assertIn("<th>yes</th>", page)
        self.assertIn("0.900 +- 0.196", said.getvalue())


if __name__ == "__main__":
    unittest.main()
