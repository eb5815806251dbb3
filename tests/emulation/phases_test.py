#!/usr/bin/env python3
"""The method on emulated GPUs: pre-training, fine-tuning, reward model, generation and PPO-ptx give the CPU's numbers within
1e-4, and the same bytes on every grid. Jobs that are killed go on on the CPU and on GPUs in turn. COXSWAIN_FULL=1: every
phase on every grid, and killed; otherwise one grid each, and a killed PPO. COXSWAIN_GPUS=N: the program is one for real
GPUs, of which there are N; larger models, on all grids, and once more in BF16, whose draws of tokens may not be the CPU's.

Called as SCRIPT PROGRAM MPIEXEC WORK_FOLDER [PHASE ...], PROGRAM being the one on the emulation or, for real GPUs, another;
without a PHASE all of them."""
import sys
import time

from emulated import FULL, GPUS, TOLERANCE, distance, on_gpus, records, sharing, way, worst_difference
from alignment import CHAT, WORDS, comparisons, must, write_lines
from jobs import DECKS, Bench, Grid, difference, metrics, steps_done

ALONE = Grid("1x1x1")
GRIDS = ["2x1x1", "1x2x1", "1x1x2", "2x2x2"]
# Small enough for a GPU in software.
SHAPE = {"model.layers": 2, "model.hidden": 256 if GPUS else 16, "model.heads": 4 if GPUS else 2, "model.vocabulary": 257,
         "model.context": 32}
SHARDS = {"grid.tensor_shards": 2, "grid.data_shards": 2, "reward_grid.tensor_shards": 2, "reward_grid.data_shards": 2,
          "grid.overlap_from": 1, "reward_grid.overlap_from": 1}


def keys_of(grid, kind):
    own = grid.keys()
    return own | {f"reward_{key}": value for key, value in own.items()} | {"device.kind": kind}


class Phase:
    def __init__(self, name, deck, grid, keys):
        self.name, self.deck, self.grid = name, DECKS / deck, grid
        self.keys = CHAT | SHAPE | SHARDS | {"run.validate_every": 0} | keys
        self.generates = name == "generate"

    def start(self, bench, run, grid, kind, more=()):
        output = {"generate.output": run.with_suffix(".jsonl")} if self.generates else {}
        if self.name == "ppo" and kind == "cuda":  # weights that come and go change nothing
            output["ppo.park_models"] = "yes"
        if kind == "cuda":
            output |= sharing(grid.ranks)
        keys = self.keys | keys_of(grid, kind) | {"run.directory": run} | output | dict(more)
        return bench.start(self.deck, grid.ranks, keys)

    def unlike(self, run, gold):
        if not self.generates:
            return difference(run, gold)
        same = run.with_suffix(".jsonl").read_bytes() == gold.with_suffix(".jsonl").read_bytes()
        return "" if same else "responses differ"

    def distance(self, run, gold):
        if not self.generates:
            return worst_difference(run, gold)
        return distance(*(records(of.with_suffix(".jsonl").read_text()) for of in (run, gold)))


def phases_of(bench):
    data = bench.tokenize(20_000)
    policy, reward = bench.work / "policy", bench.work / "reward_model"
    pretrain = data | {"run.steps": 3, "batch.global": 4, "batch.length": 16, "checkpoint.every": 2}
    ranked = write_lines(bench.work / "comparisons.jsonl", list(comparisons())[:24])
    prompts = write_lines(bench.work / "prompts.jsonl", ({"prompt": f"{a} {b}"} for a in WORDS[:4] for b in WORDS[:2]))
    shown = write_lines(bench.work / "shown.jsonl", ({"prompt": word, "response": word[::-1]} for word in WORDS))
    learnt = {"run.initialize_from": policy}
    from_text = {"data.source": data["data.source"], "data.validation": ""}
    reward_keys = learnt | {"run.steps": 3, "reward.comparisons": ranked, "reward.normalise": "none", "batch.micro": 1,
                            "batch.global": 2, "checkpoint.every": 2, "chat.response_start": " "}
    phases = [
        Phase("pretrain", "small.ini", "2x2x2", pretrain),
        Phase("sft", "sft.ini", "2x1x1", learnt | from_text | {
            "run.steps": 3, "sft.demonstrations": shown, "sft.choose": "last", "batch.global": 4, "checkpoint.every": 2}),
        Phase("reward", "reward.ini", "1x1x2", reward_keys),
        Phase("generate", "small.ini", "1x2x1", learnt | {
            "run.phase": "generate", "generate.prompts": prompts, "generate.max_new_tokens": 6, "generate.slots": 4}),
        Phase("ppo", "ppo.ini", "2x2x2", learnt | from_text | {
            "run.steps": 4, "ppo.reward_model": reward, "ppo.prompts": prompts, "ppo.episodes": 8, "ppo.minibatch": 4,
            "ppo.inner_epochs": 1, "generate.max_new_tokens": 4}),
    ]
    on_gpus()
    for phase, run in ((phases[0], policy), (phases[2], reward)):  # what the others begin with
        must(bench, phase.name, phase.start(bench, run, ALONE, "cpu").end())
    return phases


def compare_grids(bench, phase, gold, grids, more=()):
    for i, name in enumerate(grids):
        on_gpus(seed=2 + i)
        grid, run = Grid(name), bench.work / f"{gold.name}_{name}"
        ended = phase.start(bench, run, grid, "cuda", more).end()
        unlike = ended.text if ended.code else phase.unlike(run, gold)
        bench.check(ended.code == 0 and way(grid.ranks) in ended.text and not unlike, run.name, unlike or ended.text)
        bench.case(f"{run.name}: {ended.seconds:.1f} s")
    on_gpus()


def compare_in_bf16(bench, phase):
    """One grid's bytes are another's; the CPU's numbers lie further away than rounding shows, and its tokens elsewhere."""
    more, gold = {"model.precision": "bf16"}, bench.work / f"{phase.name}_bf16"
    must(bench, gold.name, phase.start(bench, gold, ALONE, "cuda", more).end())
    compare_grids(bench, phase, gold, GRIDS, more)


def compare(bench, phase):
    """On the CPU, on one GPU, and on several. Returns the CPU's run."""
    runs = {}
    for kind in ("cpu", "cuda"):
        runs[kind] = bench.work / f"{phase.name}_{kind}"
        ended = phase.start(bench, runs[kind], ALONE, kind).end()
        must(bench, f"{phase.name} on {kind}", ended)
    if phase.generates:
        run = bench.work / f"{phase.name}_without_graphs"
        must(bench, run.name, phase.start(bench, run, ALONE, "cuda", {"device.graphs": "no"}).end())
        bench.check(not phase.unlike(run, runs["cuda"]), f"{phase.name}: graphs change the responses")
        bench.case(f"{phase.name} by operations instead of graphs: the same bytes")
    worst = phase.distance(runs["cuda"], runs["cpu"])
    bench.check(worst <= TOLERANCE, f"{phase.name}: CPU and GPU differ by {worst:.1e}")
    bench.case(f"{phase.name}: largest difference between CPU and GPU {worst:.1e}, {ended.seconds:.1f} s on the GPU")
    compare_grids(bench, phase, runs["cuda"], GRIDS if FULL or GPUS else [phase.grid])
    return runs["cpu"]


def kill(bench, phase, gold):
    """SIGKILL after each step, and on elsewhere."""
    run, story = bench.work / f"{phase.name}_killed", []
    for name, kind in (("1x1x1", "cpu"), ("1x2x1", "cuda"), ("2x1x1", "cpu"), ("1x1x2", "cuda")):
        job, goal = phase.start(bench, run, Grid(name), kind), steps_done(run) + 1
        while job.running() and (steps_done(run) < goal or len(story) == 3):
            time.sleep(0.01)
        if job.running():
            job.kill()
        code = job.end().code
        story.append(f"{kind} {name} to step {steps_done(run)}")
    worst = phase.distance(run, gold)
    bench.check(code == 0 and worst <= TOLERANCE, f"{phase.name} killed: code {code}, {worst:.1e}: {story}")
    bench.case(f"{phase.name} killed: {'; '.join(story)}; largest difference {worst:.1e}")


def main():
    bench = Bench("emulated_phases")
    wanted = sys.argv[4:]
    for phase in phases_of(bench):
        if wanted and phase.name not in wanted:
            continue
        gold = compare(bench, phase)
        if GPUS:
            compare_in_bf16(bench, phase)
        if not phase.generates and (FULL or phase.name == "ppo"):
            kill(bench, phase, gold)
    bench.finish()


main()
