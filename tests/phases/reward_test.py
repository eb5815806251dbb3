#!/usr/bin/env python3
"""A reward model in miniature learns to like what a judge likes, and orders responses that it has not seen as the judge
does."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "regression"))
import ranked  # noqa: E402
from jobs import DECKS, Bench, metrics  # noqa: E402


def main():
    bench = Bench("reward_model")
    data = ranked.files(bench.work, 800, 200)
    for loss in ("pairwise", "best_of_n"):
        run = bench.work / loss
        ended = bench.run(DECKS / "reward.ini", 2, data | {
            "run.directory": run, "run.steps": 0, "reward.epochs": 2, "reward.loss": loss, "grid.data": 2, "model.dropout": 0,
            "optimizer.learning_rate": 5e-3, "optimizer.schedule": "cosine", "batch.global": 16, "batch.micro": 4,
            "run.validate_every": 100})
        if not bench.check(ended.code == 0, f"{loss}: code {ended.code}", ended.text):
            continue
        first = json.loads(metrics(run).splitlines()[0])
        report = json.loads((run / "reward_report.json").read_text())
        accuracy = report["accuracy"]
        bench.case(f"{loss}: accuracy {first['accuracy']:.3f} -> {accuracy['share']:.3f} "
                   f"({accuracy['low']:.3f} to {accuracy['high']:.3f}) on held-out comparisons")
        bench.check(accuracy["share"] > 0.9, f"{loss}: held-out accuracy {accuracy}")
        bench.check(sorted(report["by_labeler"]) == ["ann", "bob"] and sorted(report["by_source"]) == ["api", "web"],
                    f"{loss}: groups of the report", json.dumps(report))
        bench.check("Calibration" in (run / "report.html").read_text(), f"{loss}: the report has no calibration")
    bench.finish()


main()
