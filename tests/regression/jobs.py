"""Starts the program as a user does, on any number of ranks, and reads what it leaves behind.

Every script here is called as SCRIPT PROGRAM MPIEXEC WORK_FOLDER, prints a line for each case and ends with 0, 1 or, where
this machine lacks something that it needs, with SKIP and a reason."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DECKS = SOURCE / "tests/regression/decks"
TEXT = SOURCE / "inputs/tiny/shakespeare.txt"
SKIP = 4
LIMIT = 300 if os.environ.get("COXSWAIN_FULL", "") in ("", "0") else 1800  # seconds of a job: long forms may share their cores
# As tools/environment.sh sets it for the scripts: more ranks than cores, as root, in a container.
ENVIRONMENT = {"OMPI_MCA_rmaps_base_oversubscribe": "1", "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
               "OMPI_MCA_mpi_yield_when_idle": "1", "OMPI_MCA_hwloc_base_binding_policy": "none",
               "PRTE_MCA_hwloc_default_binding_policy": "none",
               "OMPI_MCA_btl_base_warn_component_unused": "0",
               "OMPI_MCA_pml": "ob1",
               # Of a job with an error mpirun lets two seconds pass before it ends: spmd_endings.sh and fault_test.py wait.
               "OMPI_MCA_odls_base_sigkill_timeout": "0",
               # Threads that spin on shared cores: fifty times slower.
               "OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}
if os.geteuid() == 0:
    ENVIRONMENT |= {f"{tool}_ALLOW_RUN_AS_ROOT{confirm}": "1" for tool in ("OMPI", "PRTE") for confirm in ("", "_CONFIRM")}


class Grid:
    """tensor x pipeline x data, written 2x2x1."""

    def __init__(self, text):
        self.text = text
        self.tensor, self.pipeline, self.data = (int(part) for part in text.split("x"))
        self.ranks = self.tensor * self.pipeline * self.data

    def keys(self):
        return {"grid.tensor": self.tensor, "grid.pipeline": self.pipeline, "grid.data": self.data}


class Ended:
    """A job that has ended: its code, all that it said, its seconds."""

    def __init__(self, code, text, seconds):
        self.code, self.text, self.seconds = code, text, seconds

    def errors(self):
        """The program's own messages of failure: run_spmd and main begin them like this."""
        return re.findall(r"^coxswain: (?!warning)", self.text, re.MULTILINE)


class Job:
    """A job that runs, its output in a file."""

    def __init__(self, program, launcher, arguments, output, threads, cwd=None):
        environment = dict(os.environ) | ENVIRONMENT | {"OMP_NUM_THREADS": str(threads)}
        self.program, self.launched = str(program), bool(launcher)
        self.output, self.started = pathlib.Path(output), time.monotonic()
        with open(output, "wb") as file:
            self.process = subprocess.Popen([str(word) for word in (*launcher, program, *arguments)], stdout=file,
                                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment, cwd=cwd)

    def running(self):
        return self.process.poll() is None

    def ends_within(self, limit):
        """Asks more often than Popen.wait(limit) does, which comes to 50 ms late."""
        last = time.monotonic() + limit
        while self.running() and time.monotonic() < last:
            time.sleep(0.003)
        return not self.running()

    def end(self, limit=LIMIT):
        if not self.ends_within(limit):
            self.kill()
            self.process.wait()
            raise SystemExit(f"FAILED: no end after {limit} s: {self.process.args}\n{self.output.read_text()}")
        return Ended(self.process.wait(), self.output.read_text(errors="replace"), time.monotonic() - self.started)

    def ranks(self):
        """Process numbers of the ranks: what mpirun has started, or the program itself."""
        if not self.launched:
            return [self.process.pid]
        return [pid for pid in children_of(self.process.pid) if command_of(pid) == self.program]

    def signal(self, number, only=None):
        for pid in self.ranks()[:only]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def kill(self):
        """SIGKILL to all ranks. They leave their shared memory behind, which is cleared away here."""
        ranks = self.ranks()
        names = {name for pid in ranks if (name := segment_of(pid))}
        self.signal(signal.SIGKILL)
        for pid in ranks:
            while pid != self.process.pid and pathlib.Path(f"/proc/{pid}").exists() and command_of(pid):
                time.sleep(0.005)
        clear_segments(names)

    def kill_one(self, rank, limit=60):
        """SIGKILL to one rank; waits until the job has ended. False if it had ended before."""
        ranks = self.ranks()
        if rank >= len(ranks) or not self.running():
            return False
        names = {name for pid in ranks if (name := segment_of(pid))}
        try:
            os.kill(ranks[rank], signal.SIGKILL)
        except ProcessLookupError:
            return False
        if not self.ends_within(limit):
            return False
        clear_segments(names)
        return True


def clear_segments(names):
    for name in names:
        for segment in pathlib.Path("/dev/shm").glob(f"vader_segment.*.{name}.*"):
            segment.unlink(missing_ok=True)


def children_of(parent):
    try:
        return sorted(int(pid) for task in pathlib.Path(f"/proc/{parent}/task").iterdir()
                      for pid in (task / "children").read_text().split())
    except OSError:
        return []


def command_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    except OSError:
        return ""


def segment_of(pid):
    """The job's number as it stands in the names of Open MPI's shared memory."""
    try:
        found = re.search(rb"PMIX_NAMESPACE=(\d+)", pathlib.Path(f"/proc/{pid}/environ").read_bytes())
        return f"{int(found.group(1)):x}" if found else None
    except OSError:
        return None


class Bench:
    """The program, a launcher, a folder to work in, and the list of what went wrong."""

    def __init__(self, name):
        if len(sys.argv) < 4:
            sys.exit(f"usage: {sys.argv[0]} PROGRAM MPIEXEC WORK_FOLDER")
        self.program, self.mpiexec = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
        self.work = pathlib.Path(sys.argv[3]).resolve() / name
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        self.failures, self.cases, self.jobs, self.began = 0, 0, 0, time.monotonic()

    def start(self, deck, ranks=1, keys=None, threads=1, words=(), cwd=None, under=None):
        """`under`: a rank and the words that come before its program, (1, ["strace", ...])."""
        launcher = [] if ranks == 1 else [self.mpiexec, "--timeout", str(LIMIT), "-np", ranks]
        arguments = [deck, *words] + [f"--{key}={value}" for key, value in (keys or {}).items()]
        self.jobs += 1
        if under and ranks == 1:
            launcher = under[1]
        elif under:
            rank, before = under
            parts = [["-np", count, *words, self.program, *arguments]
                     for count, words in ((rank, []), (1, before), (ranks - rank - 1, [])) if count > 0]
            launcher = [self.mpiexec, "--timeout", str(LIMIT), *(word for part in parts for word in (*part, ":"))][:-1]
            return Job(launcher.pop(0), [], launcher, self.work / f"job_{self.jobs}.txt", threads, cwd)
        return Job(self.program, launcher, arguments, self.work / f"job_{self.jobs}.txt", threads, cwd)

    def run(self, deck, ranks=1, keys=None, threads=1, **more):
        return self.start(deck, ranks, keys, threads, **more).end()

    def tokenize(self, size=100_000):
        """Two token files of a piece of the plays: the keys that make a deck read them."""
        text = self.work / "text.txt"
        text.write_bytes(TEXT.read_bytes()[:size])
        tokens, held_out = self.work / "tokens.h5", self.work / "held_out.h5"
        ended = self.run(DECKS / "tokenize.ini", 1, {"run.directory": self.work / "tokenize", "data.input": text,
                                                     "data.output": tokens, "data.validation": held_out})
        if ended.code != 0:
            sys.exit(f"FAILED: tokenize ended with {ended.code}\n{ended.text}")
        return {"data.source": tokens, "data.validation": held_out}

    def check(self, holds, what, detail=""):
        if not holds:
            self.failures += 1
            print(f"FAILED: {what}\n{detail}".rstrip(), flush=True)
        return holds

    def case(self, text):
        self.cases += 1
        print(f"  {text}", flush=True)

    def finish(self):
        seconds = time.monotonic() - self.began
        print(f"{self.cases} cases, {self.jobs} jobs, {self.failures} failures, {seconds:.0f} s")
        if self.failures == 0:
            shutil.rmtree(self.work, ignore_errors=True)
        sys.exit(1 if self.failures else 0)


def metrics(run):
    path = pathlib.Path(run) / "metrics.jsonl"
    return path.read_bytes() if path.exists() else b""


def losses(run):
    return [json.loads(line)["loss"] for line in metrics(run).splitlines()]


def steps_done(run):
    return metrics(run).count(b"\n")


def checkpoints(run):
    """The whole ones, oldest first."""
    return sorted(path for path in (pathlib.Path(run) / "checkpoints").glob("step_*") if path.suffix == "")


def manifest(folder):
    return json.loads((folder / "MANIFEST.json").read_text())


def state(run):
    """Of the newest checkpoint: its step, one hash of the whole state, and each tensor's fingerprint."""
    newest = checkpoints(run)
    if not newest:
        return None
    read = manifest(newest[-1])
    return {"step": read["step"], "state": read["state"],
            "tensors": {name: tensor["fingerprint"] for name, tensor in read["tensors"].items()}, "values": read["values"]}


def difference(run, gold):
    """What differs between two runs' results, or nothing."""
    if metrics(run) != metrics(gold):
        pairs = zip(metrics(run).splitlines(), metrics(gold).splitlines())
        first = next((f"{mine.decode()}\n{theirs.decode()}" for mine, theirs in pairs if mine != theirs), "")
        return f"metrics.jsonl: {steps_done(run)} and {steps_done(gold)} lines; the first that differ:\n{first}"
    mine, theirs = state(run), state(gold)
    if mine == theirs and mine is not None:
        return ""
    if mine is None or theirs is None:
        return "no checkpoint"
    names = [name for kind in ("tensors", "values") for name in sorted(mine[kind].keys() | theirs[kind].keys())
             if mine[kind].get(name) != theirs[kind].get(name)]
    return f"checkpoints: step {mine['step']} and {theirs['step']}, these differ: {', '.join(names)}"
