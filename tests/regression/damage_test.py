#!/usr/bin/env python3
"""Damaged checkpoints: a changed byte anywhere, a file cut or gone. One damaged: the run falls back to the one before it,
says so, and goes on exactly. All damaged: code 66 and nothing is changed. COXSWAIN_FULL=1: more places."""
import hashlib
import os
import random
import shutil

from jobs import DECKS, Bench, Grid, checkpoints, difference, steps_done

STEPS = 8
DECK = DECKS / "small.ini"


def flip(path, chance):
    data = bytearray(path.read_bytes())
    place = chance.randrange(len(data))
    data[place] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    return f"{path.parent.name}/{path.name} byte {place}"


def cut(path, chance):
    length = chance.randrange(path.stat().st_size)
    os.truncate(path, length)
    return f"{path.parent.name}/{path.name} cut to {length} bytes"


def remove(path, _):
    path.unlink()
    return f"{path.parent.name}/{path.name} removed"


def fingerprint(folder):
    """Of all that is in a folder but the lock, the log of attempts."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in ("lock", "log.txt"):
            digest.update(f"{path.relative_to(folder)} ".encode() + path.read_bytes())
    return digest.hexdigest()


def main():
    bench = Bench("damage")
    chance = random.Random(11)
    data = bench.tokenize() | {"checkpoint.every": 2}
    gold, made = bench.work / "gold", bench.work / "made"
    bench.run(DECK, 1, data | {"run.directory": gold, "run.steps": STEPS})
    ended = bench.run(DECK, 2, data | {"run.directory": made, "run.steps": STEPS - 2, "grid.tensor": 2})
    bench.check(ended.code == 0 and steps_done(gold) == STEPS and len(checkpoints(made)) == 2, "the runs", ended.text)
    newest = checkpoints(made)[-1]
    full = os.environ.get("COXSWAIN_FULL", "") not in ("", "0")
    ways = [(flip, path.name) for path in sorted(newest.iterdir()) for _ in range(5 if full else 1)]
    whole = sorted(newest.iterdir()) if full else [newest / "part_00000.h5"]
    ways += [(way, path.name) for way in (cut, remove) for path in whole]
    for number, (way, name) in enumerate(ways):
        run, grid = bench.work / f"one_{number}", Grid(chance.choice(["1x1x1", "2x1x1", "1x2x1", "1x1x2"]))
        shutil.copytree(made, run, symlinks=True)
        label = way(run / "checkpoints" / newest.name / name, chance)
        ended = bench.run(DECK, grid.ranks, data | grid.keys() | {"run.directory": run, "run.steps": STEPS})
        bench.case(f"{label}, {grid.text}: code {ended.code}")
        bench.check(ended.code == 0, f"{label}: code {ended.code}", ended.text)
        for word in ("CHECKPOINT DAMAGED", "CHECKPOINT FALLBACK"):
            bench.check(ended.text.count(word) == 1, f"{label}: '{word}' {ended.text.count(word)} times", ended.text)
        unlike = difference(run, gold)
        bench.check(not unlike, f"{label}: not continued exactly", unlike)
        shutil.rmtree(run)
    for ranks in (1, 2):
        run = bench.work / f"all_{ranks}"
        shutil.copytree(made, run, symlinks=True)
        labels = [flip(chance.choice(sorted(folder.glob("part_*.h5"))), chance) for folder in checkpoints(run)]
        before = fingerprint(run)
        ended = bench.run(DECK, ranks, data | {"run.directory": run, "run.steps": STEPS, "grid.data": ranks})
        bench.case(f"{' and '.join(labels)}: code {ended.code}")
        bench.check(ended.code == 66 and len(ended.errors()) == 1, f"all damaged: code {ended.code}, not 66", ended.text)
        bench.check(fingerprint(run) == before, "all damaged: something was changed")
    bench.finish()


main()
