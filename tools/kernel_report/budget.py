"""The budget of hot kernels (kernels/cuda/budget.json): at most so many registers, no spills, at least so many tensor-core,
asynchronous and 16-byte instructions. By hand: what a kernel `needs`, its dynamic shared memory, and as a debt the
instructions on local memory that it may still have (`spills`, else 0). The rest by --write-budget, from a build."""
import fnmatch
import json

import layer

ATLEAST = {"tensor": "tensor", "async": "asynchronous", "wide": "wide"}


def read(path):
    return json.loads(path.read_text()) if path.exists() else {"hot": {}}


def matches(kernels, pattern):
    return [k for k in kernels if fnmatch.fnmatchcase(k.name, pattern)]


def lacks(kernel, needs):
    """What the algorithm asks of the machine code and is not there."""
    return [word for word in needs.split() if getattr(kernel, ATLEAST[word]) == 0]


def dynamic_shared(budget, kernels):
    """Bytes by name of a kernel."""
    return {k.name: entry.get("dynamic_shared", 0)
            for pattern, entry in budget["hot"].items() for k in matches(kernels, pattern)}


def needs_of(budget, kernel):
    return next((e.get("needs", "") for p, e in budget["hot"].items() if fnmatch.fnmatchcase(kernel.name, p)), None)


def problems(budget, kernels):
    found = []
    architectures = sorted({k.architecture for k in kernels})
    for pattern, entry in budget["hot"].items():
        for architecture in architectures:
            mine = [k for k in matches(kernels, pattern) if k.architecture == architecture]
            limits = entry.get(architecture)
            if not mine:
                found.append(f"{architecture} {pattern}: no such kernel in the build")
            elif limits is None:
                found.append(f"{architecture} {pattern}: no budget for this architecture")
            for kernel in mine if limits else []:
                place = f"{architecture} {kernel.name}"
                if kernel.spills > entry.get("spills", 0):
                    found.append(f"{place}: {kernel.spills} instructions on local memory (registers that were spilled, or an "
                                 f"array that is indexed by a variable), at most {entry.get('spills', 0)}")
                if kernel.registers > limits["registers"]:
                    found.append(f"{place}: {kernel.registers} registers, at most {limits['registers']}")
                for word, field in ATLEAST.items():
                    if getattr(kernel, field) < limits[word]:
                        found.append(f"{place}: {getattr(kernel, field)} {word} instructions, at least {limits[word]}")
    for pattern in layer.hot_patterns():
        if pattern not in budget["hot"]:
            found.append(f"{pattern} is in tools/kernel_report/layer.py and has no budget")
    return found


def write(path, budget, kernels):
    """The budget that these kernels just keep; returns what no budget allows."""
    refused = []
    for pattern in layer.hot_patterns():
        budget["hot"].setdefault(pattern, {"needs": "wide"})
    for pattern, entry in list(budget["hot"].items()):
        if not matches(kernels, pattern):
            refused.append(f"{pattern}: no such kernel in the build; take it out of {path.name} and of layer.py")
        for architecture in sorted({k.architecture for k in matches(kernels, pattern)}):
            mine = [k for k in matches(kernels, pattern) if k.architecture == architecture]
            refused += [f"{architecture} {k.name}: {k.spills} instructions on local memory, at most {entry.get('spills', 0)}"
                        for k in mine if k.spills > entry.get("spills", 0)]
            entry[architecture] = {"registers": -(-max(k.registers for k in mine) // 8) * 8,  # as they are allocated
                                   **{word: min(getattr(k, field) for k in mine) for word, field in ATLEAST.items()}}
    budget["hot"] = dict(sorted(budget["hot"].items()))
    lines = json.dumps(budget, indent=2)
    path.write_text(compact(lines) + "\n")
    return refused


def compact(text):
    """An architecture's limits on one line."""
    out, inside = [], False
    for line in text.split("\n"):
        if '"sm_' in line:
            inside = True
            out.append(line)
        elif inside:
            inside = "}" not in line
            out[-1] += (" " if not out[-1].endswith("{") and inside else "") + line.strip()
        else:
            out.append(line)
    return "\n".join(out)
