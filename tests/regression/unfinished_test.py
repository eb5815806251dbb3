#!/usr/bin/env python3
"""Phases without checkpoints, cut short: generate and score go on behind what they have written, on another grid, and their
output is that of a run that nobody disturbed. A run of something else begins anew."""
import json
import signal
import time

from alignment import CHAT, make_models, must
from jobs import DECKS, Bench, Grid, metrics, steps_done

DECK = DECKS / "small.ini"
GRIDS = [Grid(text) for text in ("1x1x1", "2x1x1", "1x1x2")]


def begin(bench, run, keys, grid, steps, number):
    """Starts the run; a signal once it has done so many steps. Its end."""
    job = bench.start(DECK, grid.ranks, keys | grid.keys() | {"run.directory": run})
    while job.running() and steps_done(run) < steps:
        time.sleep(0.002)
    job.kill() if number == signal.SIGKILL else job.signal(number)
    return job.end()


def cut_short(bench, name, keys, output):
    """Undisturbed; then killed, stopped by a signal, and run to its end, each time on another grid."""
    gold = bench.work / f"{name}_gold.jsonl"
    must(bench, name, bench.run(DECK, 1, keys | {"run.directory": bench.work / f"{name}_gold", output: gold}))
    run, found = bench.work / name, bench.work / f"{name}.jsonl"
    keys = keys | {output: found}
    total = steps_done(bench.work / f"{name}_gold")
    killed = begin(bench, run, keys, GRIDS[0], total // 4, signal.SIGKILL)
    bench.check(killed.code != 0 and not found.exists(), f"{name} was not killed: code {killed.code}", killed.text)
    kept = len((run / "unfinished.jsonl").read_text().splitlines())
    bench.check(kept > 1, f"{name}: nothing was kept")
    stopped = begin(bench, run, keys, GRIDS[1], total // 2, signal.SIGUSR1)
    bench.check(stopped.code == 75 and "output is kept" in stopped.text, f"{name}: code {stopped.code}", stopped.text)
    bench.check("goes on behind" in stopped.text, f"{name} began anew", stopped.text)
    ended = bench.run(DECK, GRIDS[2].ranks, keys | GRIDS[2].keys() | {"run.directory": run})
    bench.check(ended.code == 0 and "goes on behind" in ended.text, f"{name}: code {ended.code}", ended.text)
    bench.check(found.exists() and found.read_bytes() == gold.read_bytes(), f"{name}: the output differs")
    bench.check(metrics(run) == metrics(bench.work / f"{name}_gold"), f"{name}: metrics.jsonl differs")
    bench.check(not (run / "unfinished.jsonl").exists(), f"{name}: unfinished.jsonl stays")
    bench.case(f"{name}: {total} steps, killed, stopped, finished on {', '.join(grid.text for grid in GRIDS)}: the same output")
    return gold


def something_else(bench, keys):
    """What was kept is of another seed."""
    run, found = bench.work / "other", bench.work / "other.jsonl"
    keys = keys | {"generate.output": found}
    begin(bench, run, keys, GRIDS[0], 2, signal.SIGKILL)
    ended = bench.run(DECK, 1, keys | {"run.directory": run, "run.seed": 9})
    fresh = bench.work / "fresh.jsonl"
    must(bench, "generate", bench.run(DECK, 1, keys | {"run.directory": bench.work / "fresh", "run.seed": 9,
                                                       "generate.output": fresh}))
    bench.check(ended.code == 0 and "goes on behind" not in ended.text, "another seed went on", ended.text)
    bench.check(found.read_bytes() == fresh.read_bytes(), "another seed: the output differs")
    bench.case("another seed begins anew")


def main():
    bench = Bench("unfinished")
    made = make_models(bench)
    shape = {"model.layers": 2, "model.hidden": 32, "model.heads": 4, "model.vocabulary": 257, "model.context": 32,
             "model.dropout": 0, "grid.tensor_shards": 2, "grid.data_shards": 2}
    common = CHAT | shape | {"run.validate_every": 0, "checkpoint.at_end": "no", "checkpoint.every": 0}
    generate = common | {"run.phase": "generate", "run.initialize_from": made["run.initialize_from"],
                         "generate.prompts": made["ppo.prompts"], "generate.samples": 16, "generate.slots": 2,
                         "generate.max_new_tokens": 12, "batch.length": 32}
    written = cut_short(bench, "generate", generate, "generate.output")
    lines = [json.loads(line) for line in written.read_text().splitlines()]
    lines += [lines[0] | {"response": text, "finish_reason": end} for text, end in (
        ("", "stop"), ("", "length"), ("oar\nQ:sea", "length"))]  # nothing; what could pass for a turn
    usable = bench.work / "to_score.jsonl"
    usable.write_text("".join(json.dumps(line) + "\n" for line in lines))
    scored = cut_short(bench, "score", common | {"run.phase": "score", "run.initialize_from": made["ppo.reward_model"],
                                        "score.input": usable, "batch.global": 8, "batch.micro": 4, "batch.length": 32,
                                        "data.on_bad_line": "skip"}, "score.output")
    scores = [json.loads(line) for line in scored.read_text().splitlines()]
    bench.check([{k: v for k, v in line.items() if k != "score"} for line in scores] == lines,
                f"{len(scores)} of {len(lines)} generated lines have a score")
    something_else(bench, generate)
    bench.finish()


if __name__ == "__main__":
    main()
