#!/usr/bin/env python3
"""The whole program on the emulated GPU: pre-training gives the CPU's metrics within 1e-4, the same bytes on every grid and
in every order of the GPU's work; CPU and GPU continue each other's checkpoints; what is said where there is no GPU.

Called as SCRIPT PROGRAM MPIEXEC WORK_FOLDER, PROGRAM being the one on the emulation."""
from emulated import TOLERANCE, on_gpus, worst_difference
from jobs import DECKS, Bench, Grid, difference, metrics

GRIDS = ["2x1x1", "1x2x1", "1x1x2", "2x2x2"]
# A step of the emulation takes seconds: a smaller model, and fewer steps.
SMALL = {"run.steps": 4, "run.validate_every": 2, "model.layers": 2, "model.hidden": 16, "model.heads": 2,
         "batch.global": 4, "batch.length": 16, "grid.data_shards": 2, "grid.overlap_from": 1, "checkpoint.every": 2}


def compare_precisions(bench, deck, data):
    for precision in ("fp32", "bf16"):
        keys = data | SMALL | {"model.precision": precision, "grid.data": 1}
        runs = {kind: bench.work / f"{precision}_{kind}" for kind in ("cpu", "cuda")}
        for kind, run in runs.items():
            ended = bench.run(deck, 1, keys | {"device.kind": kind, "run.directory": run})
            bench.check(ended.code == 0, f"{precision} {kind}: code {ended.code}", ended.text)
            bench.case(f"{precision} on {kind}: {ended.seconds:.1f} s")
        worst = worst_difference(runs["cuda"], runs["cpu"])
        bench.case(f"{precision}: largest difference between CPU and emulated GPU {worst:.1e}")
        limit = TOLERANCE if precision == "fp32" else 50 * TOLERANCE  # one rounding of bf16 is 4e-3
        bench.check(worst <= limit, f"{precision}: CPU and GPU differ by {worst:.1e}")


def compare_grids(bench, deck, data):
    keys = data | SMALL | {"device.kind": "cuda"}
    for name in GRIDS:
        grid, run = Grid(name), bench.work / name
        on_gpus(seed=len(name) + GRIDS.index(name))
        ended = bench.run(deck, grid.ranks, keys | grid.keys() | {"run.directory": run})
        bench.case(f"{name}: {ended.seconds:.1f} s")
        if bench.check(ended.code == 0 and " over NCCL " in ended.text, f"{name}: code {ended.code}", ended.text):
            unlike = difference(run, bench.work / "fp32_cuda")
            bench.check(not unlike, name, unlike)
    on_gpus()


def continue_each_other(bench, deck, data):
    keys = data | SMALL | {"grid.data": 1}
    for first, second in (("cpu", "cuda"), ("cuda", "cpu")):
        run = bench.work / f"{first}_then_{second}"
        for kind, steps in ((first, 2), (second, 4)):
            ended = bench.run(deck, 1, keys | {"device.kind": kind, "run.directory": run, "run.steps": steps})
            bench.check(ended.code == 0, f"{run.name}: code {ended.code}", ended.text)
        worst = worst_difference(run, bench.work / "fp32_cpu")
        bench.case(f"{run.name}: largest difference {worst:.1e}")
        bench.check(worst <= TOLERANCE, f"{run.name}: {worst:.1e} from a run on the CPU")


def without_gpus(bench, deck, data):
    keys = data | SMALL | {"grid.data": 1}
    for devices, reason in (("0", "no CUDA-capable device"), ("no-driver", "runtime version, or there is no driver")):
        on_gpus(devices=devices)
        ended = bench.run(deck, 1, keys | {"device.kind": "cuda", "run.directory": bench.work / "none"})
        bench.check(ended.code == 64 and reason in ended.text, f"{devices}: code {ended.code}", ended.text)
        bench.case(f"cuda with COXSWAIN_EMULATED_DEVICES={devices}: code {ended.code}")
    run = bench.work / "auto"
    ended = bench.run(deck, 1, keys | {"device.kind": "auto", "run.directory": run})
    bench.check(ended.code == 0 and metrics(run) == metrics(bench.work / "fp32_cpu"), "auto is not the CPU", ended.text)
    bench.check(ended.text.count("kind = auto: rank 0: ") == 1 and "; running on the CPU" in ended.text,
                "auto without a GPU does not say so", ended.text)
    bench.case("auto without a GPU: the CPU's bytes")
    on_gpus(devices="1")
    ended = bench.run(deck, 2, keys | {"grid.data": 2, "device.kind": "cuda", "run.directory": bench.work / "one"})
    bench.check(ended.code == 64 and "its node has 1 GPU" in ended.text, f"one for two: code {ended.code}", ended.text)
    bench.case(f"one GPU for two ranks: code {ended.code}")
    run = bench.work / "shared"
    ended = bench.run(deck, 2, keys | {"grid.data": 2, "device.kind": "cuda", "device.ranks_per_gpu": 2, "run.directory": run})
    unlike = ended.text if ended.code else difference(run, bench.work / "fp32_cuda")
    bench.check(not unlike and "through memory of the host" in ended.text, "a GPU that two ranks share", unlike or ended.text)
    bench.case("one GPU that two ranks share: the same bytes")
    ended = bench.run(deck, 2, keys | {"grid.data": 2, "device.communication": "nccl", "device.ranks_per_gpu": 2})
    bench.check(ended.code == 64 and "NCCL wants a GPU for each rank" in ended.text, "NCCL on a shared GPU", ended.text)
    on_gpus()


def failures(bench, deck, data):
    """What happens to GPUs and to their network in the middle of a run: a code, the operation's name, what to do."""
    keys = data | SMALL | {"device.kind": "cuda", "run.directory": bench.work / "failing"}
    cases = [("too little memory", 1, {"memory": str(400 << 10)}, 70, "full: 1 MiB more are wanted, 0 MiB of 0 MiB"),
             ("NCCL that does not start", 2, {"nccl": "no-start"}, 70, "NCCL: ncclCommInitRank failed in "),
             ("an operation without an end", 2, {"nccl": "hang:30"}, 78, "' has not ended for 2 s"),
             ("an error of another rank", 2, {"nccl": "error:30"}, 78, "' failed: remote process exited")]
    for what, ranks, device, code, words in cases:
        on_gpus(**device)
        limit = {"device.hang_seconds": 2 if code == 78 and "hang" in device["nccl"] else 100}
        ended = bench.run(deck, ranks, keys | limit | {"grid.data": 1, "grid.tensor": ranks})
        found = [line for line in ended.text.splitlines() if words in line and "coxswain: rank " in line and "()" not in line]
        bench.check(ended.code == code and found, f"{what}: code {ended.code}", ended.text)
        bench.case(f"{what}: code {ended.code}: {found[:1]}")
    on_gpus()


def without_nccl(bench, deck, data):
    grid, run = Grid("1x2x1"), bench.work / "staged"
    keys = data | SMALL | {"device.kind": "cuda", "device.communication": "staged"}
    ended = bench.run(deck, grid.ranks, keys | grid.keys() | {"run.directory": run})
    unlike = difference(run, bench.work / "fp32_cuda")
    bench.check(ended.code == 0 and not unlike and "through memory of the host" in ended.text, "staged", unlike or ended.text)
    bench.case("through memory of the host: the same bytes")


def main():
    bench = Bench("emulated_program")
    on_gpus()
    deck, data = DECKS / "small.ini", bench.tokenize(20_000)
    for part in (compare_precisions, compare_grids, continue_each_other, without_gpus, without_nccl, failures):
        part(bench, deck, data)
    bench.finish()


main()
