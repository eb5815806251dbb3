#!/usr/bin/env python3
"""Stopping in time: signals and the wall-clock limit save, end with 75, and the run goes on exactly. One job owns a run
directory. A finished run says so. What a deck may change on a restart, and what not."""
import json
import os
import shutil
import signal
import time

from jobs import DECKS, Bench, Grid, checkpoints, difference, manifest, metrics, state, steps_done

STEPS = 24
KEYS = {"run.steps": STEPS, "checkpoint.every": 1000}
DECK = DECKS / "small.ini"
# Slow enough to be met while it runs, with the bits of nothing else.
LONG = {"run.steps": 100_000, "run.validate_every": 0, "checkpoint.every": 1000}


def wait_steps(job, run, steps):
    while job.running() and steps_done(run) < steps:
        time.sleep(0.002)


def signals(bench, data, gold):
    for number, name, only in [(signal.SIGUSR1, "2x1x1", 1), (signal.SIGTERM, "1x1x1", None), (signal.SIGINT, "1x2x1", 2),
                               (signal.SIGUSR1, "1x1x4", None)]:
        grid, run = Grid(name), bench.work / f"{signal.Signals(number).name}_{name}"
        keys = data | KEYS | {"run.directory": run}
        job = bench.start(DECK, grid.ranks, keys | grid.keys())
        wait_steps(job, run, 5)
        job.signal(number, only)
        ended = job.end(60)
        done = steps_done(run)
        label = f"{signal.Signals(number).name} to {only or 'all'} of {name}"
        bench.case(f"{label}: code {ended.code} after step {done}")
        bench.check(ended.code == 75, f"{label}: code {ended.code}, not 75", ended.text)
        bench.check(state(run) is not None and state(run)["step"] == done, f"{label}: not saved where it stopped")
        bench.check(signal.Signals(number).name in ended.text, f"{label}: the signal is not named", ended.text)
        ended = bench.run(DECK, 2, keys | {"grid.data": 2})
        unlike = difference(run, gold) if ended.code == 0 else ended.text
        bench.check(not unlike, f"{label}: not continued exactly", unlike)


def launcher(bench, data, gold):
    """USR1 to mpirun, as a job script sends it."""
    run = bench.work / "launcher"
    keys = data | KEYS | {"run.directory": run}
    job = bench.start(DECK, 2, keys | {"grid.tensor": 2})
    wait_steps(job, run, 5)
    os.kill(job.process.pid, signal.SIGUSR1)
    ended = job.end(60)
    bench.case(f"SIGUSR1 to mpirun: code {ended.code} after step {steps_done(run)}")
    bench.check(ended.code == 75, f"SIGUSR1 to mpirun: code {ended.code}, not 75", ended.text)
    ended = bench.run(DECK, 1, keys)
    unlike = difference(run, gold) if ended.code == 0 else ended.text
    bench.check(not unlike, "SIGUSR1 to mpirun: not continued exactly", unlike)


def check_of_a_deck(bench):
    """--check has nothing to save: a signal ends it as it ends any program. The deck is a pipe, so that it is met at work."""
    for number in (signal.SIGTERM, signal.SIGINT):
        deck = bench.work / f"deck_{number}"
        os.mkfifo(deck)
        job = bench.start(deck, 1, words=["--check"])
        writer = os.open(deck, os.O_WRONLY)  # when the program has opened it
        job.signal(number)
        os.close(writer)
        ended = job.end()
        bench.case(f"{signal.Signals(number).name} to --check: {ended.code}")
        bench.check(ended.code == -number, f"{signal.Signals(number).name} to --check: {ended.code}", ended.text)


def wall_limit(bench, data, gold):
    run = bench.work / "wall_limit"
    ended = bench.run(DECK, 2, data | LONG | {"run.directory": run, "run.wall_limit_minutes": 0.04, "grid.data": 2,
                                              "run.validate_every": 4})
    done = steps_done(run)
    bench.case(f"wall_limit_minutes = 0.04: code {ended.code} after {ended.seconds:.1f} s and {done} steps")
    bench.check(ended.code == 75 and 0 < done and ended.seconds < 60, f"wall limit: code {ended.code}", ended.text)
    bench.check(state(run)["step"] == done, "wall limit: not saved where it stopped")
    count = min(done, STEPS)
    mine, theirs = metrics(run).splitlines()[:count], metrics(gold).splitlines()[:count]
    bench.check(mine == theirs, "wall limit: other numbers than the undisturbed run")
    ended = bench.run(DECK, 1, data | LONG | {"run.directory": run, "run.wall_limit_minutes": 0.0001})
    bench.case(f"wall_limit_minutes = 0.0001: code {ended.code}")
    good = ended.code == 64 and len(ended.errors()) == 1 and "wall_limit_minutes" in ended.text
    bench.check(good and state(run)["step"] == done, f"a limit without time for a step: code {ended.code}", ended.text)


def one_owner(bench, data):
    run = bench.work / "owned"
    keys = data | LONG | {"run.directory": run}
    job = bench.start(DECK, 1, keys)
    wait_steps(job, run, 3)
    for ranks in (1, 2):
        ended = bench.run(DECK, ranks, keys)
        bench.case(f"a second job of {ranks} ranks in the run directory: code {ended.code}")
        first = f"process {job.process.pid}"
        bench.check(ended.code == 64 and len(ended.errors()) == 1 and first in ended.text,
                    f"second job: code {ended.code}, it should be 64 and name {first}", ended.text)
    bench.check(job.running(), "the first job was disturbed")
    job.signal(signal.SIGUSR1)
    ended = job.end(60)
    bench.check(ended.code == 75, f"the first job: code {ended.code}", ended.text)


def changed_decks(bench, data, gold):
    run = bench.work / "changed"
    shutil.copytree(gold, run)
    before = (state(run), metrics(run))
    for key, value in [("model.hidden", 64), ("model.precision", "bf16"), ("run.seed", 4), ("batch.global", 32),
                       ("grid.data_shards", 2), ("data.source", "synthetic")]:
        for ranks in (1, 2):
            keys = data | KEYS | {"run.directory": run, "run.steps": STEPS + 4, "grid.data": ranks, key: value}
            ended = bench.run(DECK, ranks, keys)
            good = ended.code == 64 and len(ended.errors()) == 1 and key.split(".")[1] in ended.text
            bench.check(good, f"{key} = {value} on {ranks} ranks: code {ended.code}, it should be refused", ended.text)
        bench.case(f"{key} = {value} on a restart: code {ended.code}")
    bench.check((state(run), metrics(run)) == before, "a refused deck changed something")
    ended = bench.run(DECK, 2, data | KEYS | {"run.directory": run, "run.steps": STEPS + 4, "grid.data": 2,
                                              "optimizer.learning_rate": 1e-3, "batch.recompute": "full"})
    bench.case(f"learning_rate, recompute, steps and grid on a restart: code {ended.code}, {steps_done(run)} steps")
    bench.check(ended.code == 0 and steps_done(run) == STEPS + 4, f"allowed changes: code {ended.code}", ended.text)
    for text in ("learning_rate = 0.003 -> 0.001", "recompute = none -> full", f"steps = {STEPS} -> {STEPS + 4}"):
        bench.check(text in ended.text, f"a change is not printed: {text}", ended.text)
    bench.check(metrics(run).startswith(before[1]), "the steps before the restart have changed")


def finished(bench, data, gold):
    before = (state(gold), metrics(gold))
    ended = bench.run(DECK, 2, data | KEYS | {"run.directory": gold, "grid.data": 2})
    bench.case(f"a finished run, again: code {ended.code}")
    bench.check(ended.code == 0 and "finished already" in ended.text, f"finished run: code {ended.code}", ended.text)
    for key, value in [("model.hidden", 64), ("run.seed", 4)]:
        ended = bench.run(DECK, 1, data | KEYS | {"run.directory": gold, key: value})
        bench.check(ended.code == 64 and len(ended.errors()) == 1 and key.split(".")[1] in ended.text,
                    f"a finished run with another {key}: code {ended.code}, it should be refused", ended.text)
    ended = bench.run(DECK, 1, data | KEYS | {"run.directory": gold, "optimizer.learning_rate": 1e-3})
    good = ended.code == 0 and "learning_rate = 0.003 -> 0.001" in ended.text and "nothing was done" in ended.text
    bench.check(good, f"a finished run with another rate: code {ended.code}", ended.text)
    bench.case("a finished run with another hidden, seed and learning_rate")
    bench.check((state(gold), metrics(gold)) == before, "a finished run was changed")


def headers(bench, gold):
    """What a checkpoint says of its run to people."""
    said = manifest(checkpoints(gold)[-1])
    tokens = json.loads(metrics(gold).splitlines()[-1])["tokens"]
    bench.case(f"step {said['step']} of {said['tokens']} tokens, {said['grid']}")
    bench.check(said["tokens"] == tokens > 0 and said["grid"] == "tensor 1, pipeline 1, data 1",
                f"the manifest of step {said['step']} tells of {said['tokens']} tokens, not {tokens}, and '{said['grid']}'")


def lost_checkpoints(bench, data, gold):
    run = bench.work / "cut"
    shutil.copytree(gold, run)
    for folder in checkpoints(run):
        os.truncate(folder / "checkpoint.h5", 100)
    ended = bench.run(DECK, 1, data | KEYS | {"run.directory": run})
    bench.case(f"a finished run whose checkpoints are cut off: code {ended.code}")
    bench.check(ended.code == 66 and len(ended.errors()) == 1, f"cut checkpoints: code {ended.code}", ended.text)
    run = bench.work / "lost"
    shutil.copytree(gold, run)
    for folder in checkpoints(run):
        shutil.rmtree(folder)
    (run / "checkpoints/latest").unlink()
    for steps in (STEPS, STEPS + 4):
        ended = bench.run(DECK, 2, data | KEYS | {"run.directory": run, "run.steps": steps, "grid.data": 2})
        bench.case(f"a run of {steps} steps whose checkpoints are gone: code {ended.code}")
        bench.check(ended.code == 66 and len(ended.errors()) == 1, f"lost checkpoints: code {ended.code}", ended.text)
    bench.check(metrics(run) == metrics(gold), "a run without checkpoints was changed")


def main():
    bench = Bench("stop")
    data = bench.tokenize()
    gold = bench.work / "gold"
    ended = bench.run(DECK, 1, data | KEYS | {"run.directory": gold})
    bench.check(ended.code == 0 and steps_done(gold) == STEPS, f"the undisturbed run: code {ended.code}", ended.text)
    for case in (signals, launcher, wall_limit, changed_decks, finished, lost_checkpoints):
        case(bench, data, gold)
    check_of_a_deck(bench)
    headers(bench, gold)
    one_owner(bench, data)
    bench.finish()


main()
