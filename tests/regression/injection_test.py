#!/usr/bin/env python3
"""The system refuses a call of a save, lies about it, or the process dies in it, by strace's injection: the old checkpoint
or the new one is there afterwards, whole, and the run goes on to the same bits. COXSWAIN_FULL=1: every call of a save."""
import collections
import os
import re
import shutil
import subprocess
import sys

from jobs import DECKS, SKIP, Bench, checkpoints, difference, metrics, state, steps_done

DECK = DECKS / "small.ini"
STEPS, BEFORE = 6, 3  # the checkpoint under test, and the one before it
KEYS = {"run.steps": STEPS, "checkpoint.every": BEFORE, "checkpoint.keep": 1, "checkpoint.background": "no",
        "run.validate_every": 0}
FULL = os.environ.get("COXSWAIN_FULL", "") not in ("", "0")
CALLS = ["openat", "mkdir", "fallocate", "pwrite64", "fsync", "rename", "renameat2", "unlinkat"]
# A call, the end of its path, which one of them by number, and the error that it gives.
REFUSALS = [("mkdir", "step_00000006.tmp", 1, "ENOSPC"), ("openat", "part_00000.h5", 2, "EIO"),
            ("fallocate", "part_00000.h5", 1, "EDQUOT"), ("pwrite64", "part_00000.h5", 1, "ENOSPC"),
            ("pwrite64", "part_00000.h5", -1, "ENOSPC"), ("fsync", "part_00000.h5", 1, "EIO"),
            ("pwrite64", "checkpoint.h5", 1, "EIO"), ("fsync", "checkpoint.h5", 1, "EIO"),
            ("pwrite64", "MANIFEST.json.tmp", 1, "ENOSPC"), ("fsync", "step_00000006.tmp", 1, "EIO"),
            ("rename", "step_00000006.tmp", 1, "EROFS")]


class Call(collections.namedtuple("Call", "name path number of")):
    """The call `number` of `of` with this name that one thread makes on this path."""

    def text(self):
        return f"{self.name} {self.number} of {self.of} on {self.path}"


class Faults:
    def __init__(self, bench):
        self.bench, self.data = bench, bench.tokenize(20_000)
        self.gold, self.made, self.number = bench.work / "gold", bench.work / "made", 0
        bench.run(DECK, 1, self.data | KEYS | {"run.directory": self.gold})
        ended = bench.run(DECK, 1, self.data | KEYS | {"run.directory": self.made, "run.steps": BEFORE})
        bench.check(ended.code == 0 and state(self.gold)["step"] == STEPS, "the undisturbed runs", ended.text)

    def run(self, strace, ranks=1, rank=0):
        """From the checkpoint before on; one rank under strace. Returns the run's folder and how it ended."""
        self.number += 1
        folder = self.bench.work / f"run_{self.number}"
        shutil.copytree(self.made, folder, symlinks=True)
        words = ["strace", "-f", "-qq", "-y", "-o", self.bench.work / "strace.txt",
                 *[str(word).replace("RUN", str(folder)) for word in strace]]
        job = self.bench.start(DECK, ranks, self.data | KEYS | {"run.directory": folder, "grid.data": ranks},
                               under=(rank, words))
        return folder, job.end(120)

    def calls(self):
        """All that a save does to files, in order; how the threads are told apart is strace's own way of counting."""
        folder, ended = self.run(["-e", f"trace={','.join(CALLS)}"])
        self.bench.check(ended.code == 0, f"the run under strace: code {ended.code}", ended.text)
        seen, counts = [], collections.Counter()
        for line in (self.bench.work / "strace.txt").read_text().splitlines():
            found = re.match(r"(\d+) +(\w+)\(.*?" + re.escape(str(folder)) + r"(/checkpoints[^>\"]*)", line)
            if found and (f"step_{STEPS:08}.tmp" in found[3] or counts):
                counts[found.groups()] += 1
                seen.append((found.groups(), counts[found.groups()]))
        shutil.rmtree(folder)
        return [Call(key[1], key[2], number, counts[key]) for key, number in seen]

    def goes_on(self, folder, label):
        """The same command again; nothing of the fault is left."""
        ended = self.bench.run(DECK, 1, self.data | KEYS | {"run.directory": folder})
        unlike = difference(folder, self.gold) if ended.code == 0 else ended.text
        left = [path.name for path in (folder / "checkpoints").glob("*.tmp")]
        self.bench.check(not unlike, f"{label}: not continued exactly", unlike)
        self.bench.check(not left, f"{label}: {left} stayed")
        shutil.rmtree(folder)

    def refused(self, call, error, ranks=1, rank=0):
        label = f"{call.text()}: {error}" + (f", rank {rank} of {ranks}" if ranks > 1 else "")
        folder, ended = self.run(["-P", f"RUN{call.path}", "-e", f"trace={call.name}", "-e",
                                  f"inject={call.name}:{error}:when={call.number}"], ranks, rank)
        check = self.bench.check
        self.bench.case(f"{label}: code {ended.code}")
        check(ended.code == 74 and len(ended.errors()) == 1, f"{label}: code {ended.code}, not 74", ended.text)
        check(str(folder / "checkpoints") in ended.text and "free" in ended.text, f"{label}: no place, no room", ended.text)
        check(state(folder) == state(self.made), f"{label}: the old checkpoint is lost", str(checkpoints(folder)))
        check(not list((folder / "checkpoints").glob("*.tmp")), f"{label}: something of the save stayed")
        check(steps_done(folder) == STEPS and metrics(folder) == metrics(self.gold), f"{label}: lines are lost")
        if FULL or ranks > 1:
            self.goes_on(folder, label)
        else:
            shutil.rmtree(folder)

    def killed(self, call):
        folder, ended = self.run(["-P", f"RUN{call.path}", "-e", f"trace={call.name}", "-e",
                                  f"inject={call.name}:signal=KILL:when={call.number}"])
        hit = ended.code in (-9, 137)
        self.bench.case(f"killed in {call.text()}: {[path.name for path in checkpoints(folder)]}")
        self.bench.check(hit, f"{call.text()}: code {ended.code}, not killed", ended.text)
        self.goes_on(folder, f"killed in {call.text()}")


def sample(calls):
    """Of the calls on one path, the first and the last; all of them if asked to."""
    if FULL:
        return calls
    some = [call for call in calls if call.name != "openat"]
    ends = {}
    for call in some:
        ends.setdefault(call.path, [call]).append(call)
    return sorted({call for group in ends.values() for call in (group[0], group[-1])}, key=some.index)


def usable():
    trial = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO", "true"]
    return shutil.which("strace") and subprocess.run(trial, capture_output=True, check=False).returncode == 0


def main():
    if not usable():
        print("skipped: needs strace, and the right to trace")
        sys.exit(SKIP)
    bench = Bench("injection")
    faults = Faults(bench)
    calls = faults.calls()
    bench.check(len(calls) > 30, f"only {len(calls)} calls in a save")
    for name, end, number, error in REFUSALS:
        fitting = [call for call in calls if call.name == name and call.path.endswith(end)]
        if bench.check(fitting, f"no {name} on {end} in a save"):
            last = fitting[-1]  # by the thread that writes the data
            faults.refused(last._replace(number=last.of if number < 0 else number), f"error={error}")
    part = f"/checkpoints/step_{STEPS:08}.tmp/part_00001.h5"
    faults.refused(Call("fsync", part, 1, 1), "error=EIO", ranks=2, rank=1)
    faults.refused(Call("pwrite64", part, 3, 3), "error=ENOSPC", ranks=2, rank=1)
    # The system says that it wrote 100 bytes, and did not: what the file holds is not what memory held.
    written = [call for call in calls if call.name == "pwrite64" and call.path.endswith("part_00000.h5")][-1]
    faults.refused(written._replace(number=written.of - 20), "retval=100")
    for call in sample(calls):
        faults.killed(call)
    bench.finish()


main()
