#!/usr/bin/env python3
"""Faults from outside that no signal handler sees: a token that no vocabulary has, and the death of one rank of a job. The
job ends in time with the right code, and goes on from its checkpoint to the same bits."""
import signal
import time

from jobs import DECKS, ENVIRONMENT, Bench, Grid, difference, metrics, state, steps_done

DECK = DECKS / "small.ini"
STEPS = 16
KEYS = {"run.steps": STEPS, "checkpoint.every": 2}
BAD = 4660
BOUND = 30  # seconds that the rest of a job may take to end


def stored(text):
    """As token files of bytes hold it."""
    return b"".join(bytes([byte, 0]) for byte in text)


def spoil(path, text, place):
    """Makes the token at a place of the text an id beyond the vocabulary. Returns its number: documents' ends count too."""
    data = bytearray(path.read_bytes())
    first, found = data.find(stored(text[:40])), data.find(stored(text[place:place + 40]))
    if first < 0 or found < 0:
        raise SystemExit("FAILED: the tokens are not where this test looks for them")
    data[found:found + 2] = BAD.to_bytes(2, "little")
    path.write_bytes(data)
    return (found - first) // 2


def bad_token(bench, data, gold):
    """Met in the middle of a run, which keeps what it has and goes on once the file is good again."""
    source = data["data.source"]
    whole = source.read_bytes()
    text = (bench.work / "text.txt").read_bytes()
    for ranks in (1, 2):
        run = bench.work / f"token_{ranks}"
        keys = data | KEYS | {"run.directory": run, "grid.data": ranks}
        token = spoil(source, text, 3000)
        ended = bench.run(DECK, ranks, keys)
        label = f"token {token} is {BAD}, {ranks} ranks"
        bench.case(f"{label}: code {ended.code} after step {steps_done(run)}")
        bench.check(ended.code == 65 and len(ended.errors()) == 1, f"{label}: code {ended.code}, not 65", ended.text)
        for word in (f"{source}: token {token} has id {BAD}", "256"):
            bench.check(word in ended.text, f"{label}: the message lacks {word}", ended.text)
        bench.check(metrics(gold).startswith(metrics(run)) and steps_done(run) < STEPS, f"{label}: other numbers")
        source.write_bytes(whole)
        ended = bench.run(DECK, ranks, keys)
        unlike = difference(run, gold) if ended.code == 0 else ended.text
        bench.check(not unlike, f"{label}: the good file is not gone on with", unlike)


def one_rank(bench, data, gold):
    """SIGKILL to one rank of each kind of grid, between saves and in one."""
    for name, victim, in_save, patience in [("2x1x1", 1, False, 1), ("1x2x1", 0, False, 0), ("1x1x4", 2, True, 0),
                                            ("2x2x1", 3, True, 1)]:
        ENVIRONMENT["OMPI_MCA_odls_base_sigkill_timeout"] = str(patience)  # 1: the others live on for two seconds
        grid, run = Grid(name), bench.work / f"rank_{name}"
        keys = data | KEYS | {"run.directory": run}
        job = bench.start(DECK, grid.ranks, keys | grid.keys())
        checkpoints = run / "checkpoints"
        while job.running() and (steps_done(run) < 5 or in_save and not any(checkpoints.glob("*.tmp"))):
            time.sleep(0.001)
        began = time.monotonic()
        killed = job.kill_one(victim)
        ended = job.end(BOUND)
        seconds = time.monotonic() - began
        label = f"SIGKILL to rank {victim} of {name}"
        bench.case(f"{label}: code {ended.code} after step {steps_done(run)}, {seconds:.1f} s later")
        bench.check(killed and ended.code == 128 + signal.SIGKILL, f"{label}: code {ended.code}, not 137", ended.text)
        bench.check(seconds < BOUND, f"{label}: the others ended {seconds:.0f} s later", ended.text)
        bench.check(state(run) is not None and steps_done(run) < STEPS, f"{label}: nothing was saved, or it was too late")
        ended = bench.run(DECK, 2, keys | {"grid.data": 2})
        unlike = difference(run, gold) if ended.code == 0 else ended.text
        bench.check(not unlike, f"{label}: not continued exactly", unlike)


def main():
    bench = Bench("fault")
    # The held-out part is cut off; of the rest each token is read once in these steps, save the last sequences.
    data = bench.tokenize(8_500)
    gold = bench.work / "gold"
    ended = bench.run(DECK, 1, data | KEYS | {"run.directory": gold})
    bench.check(ended.code == 0 and steps_done(gold) == STEPS, f"the undisturbed run: code {ended.code}", ended.text)
    bad_token(bench, data, gold)
    one_rank(bench, data, gold)
    bench.finish()


main()
