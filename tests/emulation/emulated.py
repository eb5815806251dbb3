"""What the scripts here share: the emulated GPUs of a job, and how far two runs lie apart. With COXSWAIN_GPUS=N the program
is one for real GPUs, N of them, which ranks share where there are more: through memory of the host, or by NCCL where it is
2.31 or later and NCCL_MULTI_RANK_GPU_ENABLE=1."""
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "regression"))
from jobs import metrics, steps_done  # noqa: E402

TOLERANCE = 1e-4
GPUS = int(os.environ.get("COXSWAIN_GPUS", "0"))
FULL = os.environ.get("COXSWAIN_FULL", "") not in ("", "0")


def on_gpus(seed=1, devices="8", memory=str(4 << 30), nccl=""):
    os.environ |= {"COXSWAIN_EMULATION_SEED": str(seed), "COXSWAIN_EMULATED_DEVICES": devices,
                   "COXSWAIN_EMULATED_MEMORY": memory, "COXSWAIN_EMULATED_NCCL": nccl}


def nccl_shares():
    return os.environ.get("NCCL_MULTI_RANK_GPU_ENABLE") == "1"


def sharing(ranks):
    """The keys with which so many ranks find a GPU."""
    if not 0 < GPUS < ranks:
        return {}
    return {"device.ranks_per_gpu": -(-ranks // GPUS)} | ({"device.communication": "nccl"} if nccl_shares() else {})


def way(ranks):
    """What the program says of how tensors get from rank to rank."""
    return " through memory of the host" if sharing(ranks) and not nccl_shares() else " over NCCL "


def distance(mine, theirs):
    """The largest relative difference of numbers in two lists of records; infinite where anything else differs."""
    worst = 0.0
    if len(mine) != len(theirs) or not mine:
        return float("inf")
    for a, b in zip(mine, theirs):
        if a.keys() != b.keys():
            return float("inf")
        for key, value in b.items():
            if isinstance(value, float) and isinstance(a[key], (int, float)):
                worst = max(worst, abs(a[key] - value) / max(1.0, abs(value)))
            elif a[key] != value:
                return float("inf")
    return worst


def records(text):
    return [json.loads(line) for line in text.splitlines()]


def worst_difference(run, gold):
    if steps_done(run) != steps_done(gold):
        return float("inf")
    return distance(records(metrics(run)), records(metrics(gold)))
