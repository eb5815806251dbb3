"""Kernels in compiled objects, by cuobjdump: registers, stack, shared memory, launch bounds and machine code (SASS)."""
import functools
import os
import pathlib
import re
import shutil
import subprocess
from collections import Counter

import loops

TENSOR = re.compile(r"^(?:[HIDBQO]|HG|BG|IG|QG)?MMA$|^UTC\w*MMA")
ASYNC = re.compile(r"^(?:LDGSTS|UBLKCP|UTMALDG|UTMASTG)$")
GLOBAL_LOADS, GLOBAL_STORES = ("LDG", "LD"), ("STG", "ST")
MOVES = GLOBAL_LOADS + GLOBAL_STORES + ("LDS", "STS", "LDGSTS")
LOCAL = ("LDL", "STL")  # memory of a thread: spilled registers, and arrays that are indexed by what is not a constant
INSTRUCTION = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)([^;]*);")


class Missing(Exception):
    """What the report needs is not there."""


def find_tool(name, given=None):
    places = [given] if given else [os.environ.get(name.upper(), ""), shutil.which(name) or ""]
    if not given:
        places += [f"{home}/bin/{name}" for home in (os.environ.get("CUDA_HOME", ""), "/usr/local/cuda") if home]
        root = pathlib.Path(__file__).resolve().parents[2]
        places.append(str(root / "build/tools/nvidia/cu13/bin" / name))  # where `tools/setup.sh --cuda` puts it
    for place in places:
        if place and os.access(place, os.X_OK):
            return place
    raise Missing(f"{name} is not here: it is part of the CUDA toolkit; `tools/setup.sh --cuda` brings it")


def width(mnemonic):
    """Bytes that one lane moves by this instruction."""
    for suffix, size in ((".128", 16), (".64", 8), (".U16", 2), (".S16", 2), (".U8", 1), (".S8", 1)):
        if mnemonic.endswith(suffix) or suffix + "." in mnemonic:
            return size
    return 4


def shared_bytes(mnemonic):
    """Bytes of shared memory that a warp reads or writes by this instruction."""
    words = mnemonic.split(".")
    if words[0] == "LDSM":
        return 128 * (4 if "4" in words else 2 if "2" in words else 1)
    return 32 * width(mnemonic) if words[0] in ("LDS", "STS", "LDGSTS") else 0


class Kernel:
    """One kernel for one architecture."""

    def __init__(self, symbol, file, architecture):
        self.symbol, self.file, self.architecture = symbol, file, architecture
        self.name = symbol
        self.registers = self.stack = self.shared = 0
        self.threads = 0      # of a block at most, by its launch bounds; 0: not said
        self.code = []        # (address, mnemonic, operands)

    def finish(self):
        """Counts of what the code holds."""
        counts = Counter(mnemonic.split(".")[0] for _, mnemonic, _ in self.code)
        self.instructions = len(self.code)
        self.tensor = sum(n for word, n in counts.items() if TENSOR.match(word))
        self.asynchronous = sum(n for word, n in counts.items() if ASYNC.match(word))
        self.spills = sum(counts[word] for word in LOCAL)
        self.wide = sum(1 for _, m, _ in self.code if m.split(".")[0] in MOVES and width(m) == 16)
        self.global_moves = Counter(width(m) for _, m, _ in self.code if m.split(".")[0] in GLOBAL_LOADS + GLOBAL_STORES)
        return self

    @functools.cached_property
    def paths(self):
        return loops.innermost(self.code)

    @functools.cached_property
    def straight(self):
        moves = GLOBAL_LOADS + GLOBAL_STORES
        return loops.straight(self.code, lambda m: m.split(".")[0] in moves and width(m) == 16)

    @functools.cached_property
    def products(self):
        """A turn of the loop that all tensor-core instructions are in, or None."""
        return loops.through(self.code, TENSOR)


def short(name):
    """coxswain::(anonymous namespace)::norm_kernel<coxswain::bf16>(...) -> norm_kernel<bf16>"""
    name = re.sub(r"\(anonymous namespace\)::|_GLOBAL__N__\w+::|coxswain::(?:\w+_tiles::)?", "", name)
    name = name.removeprefix("void ")
    depth = 0
    for at, mark in enumerate(name):  # up to the parameter list
        depth += mark == "<"
        depth -= mark == ">" and name[at - 1] != "-"
        if mark == "(" and depth == 0:
            name = name[:at]
            break
    kinds = {"0": "none", "1": "gelu", "2": "silu"}
    name = re.sub(r"\(Activation\)(\d)", lambda m: kinds.get(m.group(1), m.group(1)), name)
    return re.sub(r"\(\w[\w ]*\)(?=-?\d)", "", name).replace("> >", ">>")  # (Part)1 -> 1


def run(*words):
    ended = subprocess.run(words, capture_output=True, text=True)
    if ended.returncode != 0:
        raise Missing(f"{' '.join(words[:2])} ended with {ended.returncode}: {ended.stderr.strip()[:300]}")
    return ended.stdout


def per_architecture(text):
    """(architecture, lines) of each machine code in what cuobjdump says of an object."""
    for part in re.split(r"^Fatbin elf code:$", text, flags=re.MULTILINE)[1:]:
        part = part.split("Fatbin ptx code:")[0]
        yield re.search(r"^arch = (\S+)", part, re.MULTILINE).group(1), part


def read_object(tool, path):
    file = path.name.removesuffix(".o")
    kernels = {}
    for architecture, part in per_architecture(run(tool, "-res-usage", str(path))):
        for symbol, usage in re.findall(r"^ Function (\S+):\n(.*)$", part, re.MULTILINE):
            kernel = kernels[symbol, architecture] = Kernel(symbol, file, architecture)
            numbers = dict(re.findall(r"(REG|STACK|SHARED):(\d+)", usage))
            kernel.registers, kernel.stack, kernel.shared = (int(numbers[key]) for key in ("REG", "STACK", "SHARED"))
    if not kernels:
        return []
    for architecture, part in per_architecture(run(tool, "-elf", str(path))):
        for section in re.split(r"^\.nv\.info\.", part, flags=re.MULTILINE)[1:]:
            bounds = re.search(r"EIATTR_MAX_THREADS\n.*\n\s*Value:\s*(\S+) (\S+) (\S+)", section.split("\n\n.")[0])
            kernel = kernels.get((section.split("\n", 1)[0].strip(), architecture))
            if kernel and bounds:
                x, y, z = (int(value, 16) for value in bounds.groups())
                kernel.threads = x * y * z
    for architecture, part in per_architecture(run(tool, "-sass", str(path))):
        for section in re.split(r"^\s+Function : ", part, flags=re.MULTILINE)[1:]:
            kernel = kernels.get((section.split("\n", 1)[0].strip(), architecture))
            if kernel:
                for line in section.split("\n"):
                    found = INSTRUCTION.match(line)
                    if found:
                        kernel.code.append((int(found.group(1), 16), found.group(2), found.group(3)))
    return list(kernels.values())


def read_build(build, tool=None):
    """All kernels of a build folder of preset `cuda` (or of a folder of objects)."""
    objects = sorted(pathlib.Path(build).rglob("*.cu.o"))
    if not objects:
        raise Missing(f"{build} has no objects *.cu.o: build it with preset `cuda`")
    tool = find_tool("cuobjdump", tool)
    kernels = [kernel for path in objects for kernel in read_object(tool, path)]
    names = subprocess.run(["c++filt"], input="\n".join(k.symbol for k in kernels), capture_output=True, text=True)
    for kernel, name in zip(kernels, names.stdout.splitlines()):
        kernel.name = short(name)
        kernel.finish()
    return sorted(kernels, key=lambda k: (k.file, k.name, k.architecture))
