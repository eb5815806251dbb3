"""Warps that a multiprocessor holds at once, from the limits in the CUDA C++ Programming Guide (table of technical
specifications by compute capability) and the granularity of NVIDIA's occupancy calculator."""
import json
import pathlib

MACHINES = pathlib.Path(__file__).resolve().parents[2] / "inputs/machines"
WARP = 32


class Machine:
    """A node's description (inputs/machines)."""

    def __init__(self, path):
        values = json.loads(pathlib.Path(path).read_text())
        self.name, self.gpu = values["name"], values["gpu"]
        self.architecture = self.gpu["architecture"]

    def __getattr__(self, key):
        return self.gpu[key]


def machines():
    """All of inputs/machines, by file name."""
    return {path.stem: Machine(path) for path in sorted(MACHINES.glob("*.json"))}


def round_up(value, unit):
    return -(-value // unit) * unit


def resident_warps(limits, threads, registers, shared):
    """(warps, what limits them) for a kernel on a GPU's multiprocessor."""
    warps = round_up(threads, WARP) // WARP
    of_registers = limits["registers_per_sm"] // round_up(max(registers, 1) * WARP, 256) // 4 * 4 // warps
    block_shared = round_up(shared + limits["reserved_shared_per_block"], 128)
    bounds = {
        "threads": limits["warps_per_sm"] // warps,
        "blocks": limits["blocks_per_sm"],
        "registers": of_registers,
        "shared memory": limits["shared_per_sm"] // block_shared,
    }
    blocks = min(bounds.values())
    limit = next(name for name, bound in bounds.items() if bound == blocks)
    return blocks * warps, limit
