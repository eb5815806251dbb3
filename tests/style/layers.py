#!/usr/bin/env python3
"""The layer rule: a file includes its own folder and folders to its left, and outside libraries only where they belong."""
import re

from sources import finish, sources

ORDER = ["kernels", "base", "tensor", "parallel", "model", "train", "io", "data", "rl", "phases", "settings", "program", "main"]

# Outside headers: pattern of the header, where it may be included (pattern of the file's path).
OUTSIDE = [
    (r"mpi(-ext)?\.h$", r"src/(parallel/|main\.cpp)"),
    (r"nccl", r"src/parallel/"),
    (r"(hdf5.*|H5.*)\.h$", r"src/io/"),
    (r"(cuda|cublas|cudnn|curand|cub/|nv)", r"kernels/cuda/|src/parallel/nccl"),
    (r"(dnnl|oneapi/|mkl|cblas)", r"kernels/cpu/"),
    (r"boost/", r"src/(base/deck|settings/|main\.cpp)"),
    (r"pcre2", r"src/data/"),
]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def layer(path):
    """Index of the folder that a path belongs to, None if it is none of ours."""
    parts = path.split("/")
    if parts[0] == "src":
        parts = parts[1:]
    name = "main" if parts[0] == "main.cpp" else parts[0]
    return ORDER.index(name) if name in ORDER and (len(parts) > 1 or name == "main") else None


problems = []
for path, text in sources(".h", ".cpp", ".cu", ".cuh"):
    if path.parts[0] not in ("kernels", "src"):
        continue
    here = layer(str(path))
    if here is None:
        problems.append(f"{path}: lies in no folder of the house ({' < '.join(ORDER)})")
        continue
    for match in INCLUDE.finditer(text):
        header = match.group(2)
        where = f"{path}:{text.count(chr(10), 0, match.start()) + 1}"
        for pattern, allowed in OUTSIDE:
            if re.match(pattern, header) and not re.match(allowed, str(path)):
                problems.append(f"{where}: {header} may be included only by files that match {allowed}")
        there = layer(header)
        if match.group(1) == '"' and there is None:
            problems.append(f'{where}: "{header}": write the path from src/ or from the root')
        if there is not None and there > here:
            problems.append(f"{where}: {ORDER[here]} may not include {header}: {ORDER[there]} lies to its right")
finish(problems, " < ".join(ORDER))
