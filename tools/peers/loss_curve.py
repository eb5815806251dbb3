#!/usr/bin/env python3
"""Does PyTorch see the same losses? Trains from a run's first checkpoint on the run's own tokens and compares the curves.

    pip install torch transformers h5py
    build/release/coxswain DECK --run.directory=runs/peer --run.steps=201 --checkpoint.every=1 --checkpoint.keep=0
                                --data.shuffle=no --model.precision=fp32
    python3 tools/peers/loss_curve.py runs/peer [--tolerance 1e-3] [--threads 2]

Unshuffled, sample i of the run is tokens [i t, i t + t] of the deck's only data.source. Weights and AdamW moments of the first
checkpoint (step k, 0 if there is one) are the start; steps k+1 ... are compared with the losses in metrics.jsonl. The
learning rate of each step is the one in metrics.jsonl. Exit code 0 if no loss differs by more than the tolerance.
"""
import argparse
import json
import math
import pathlib
import sys

import h5py
import torch

from peer_model import Shape, make_model, read_deck, their_names


def first_checkpoint(run):
    found = sorted(path for path in (run / "checkpoints").glob("step_*") if (path / "checkpoint.h5").exists())
    if not found:
        raise SystemExit(f"{run}: no checkpoint")
    return found[0], int(found[0].name.split("_")[1])


def read_tensors(file, group):
    tensors = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            tensors[name] = torch.from_numpy(item[...]).float()
    if group in file:
        file[group].visititems(visit)
    return tensors


def make_optimizer(model, moments, step, section):
    """AdamW with the deck's values; decay on matrices and embeddings only; moments of the checkpoint, if it has any."""
    named = dict(model.named_parameters())
    decayed = [p for p in named.values() if p.dim() > 1]
    others = [p for p in named.values() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": section.getfloat("weight_decay", 0.1)},
         {"params": others, "weight_decay": 0.0}],
        betas=(section.getfloat("beta1", 0.9), section.getfloat("beta2", 0.95)),
        eps=section.getfloat("epsilon", 1e-8))
    if moments[0]:
        for name, parameter in named.items():
            optimizer.state[parameter] = {"step": torch.tensor(float(step)), "exp_avg": moments[0][name],
                                          "exp_avg_sq": moments[1][name]}
    return optimizer


def train_step(model, optimizer, windows, micro, learning_rate, clip_norm):
    """Mean loss over all targets of the batch, before the update."""
    optimizer.zero_grad(set_to_none=True)
    total, targets_of_all = 0.0, windows.shape[0] * (windows.shape[1] - 1)
    for rows in windows.split(micro):
        logits = model(input_ids=rows[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="sum")
        (loss / targets_of_all).backward()
        total += loss.item()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm if clip_norm > 0 else math.inf)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
    return total / targets_of_all, norm.item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--tolerance", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    deck = read_deck(arguments.run / "deck.ini")
    metrics = {line["step"]: line for line in map(json.loads, (arguments.run / "metrics.jsonl").read_text().splitlines())}
    folder, start = first_checkpoint(arguments.run)
    with h5py.File(folder / "checkpoint.h5") as file:
        weights = read_tensors(file, "model")
        moments = [read_tensors(file, f"optimizer/moment{i}") for i in (1, 2)]
    shape = Shape(deck["model"], weights)
    model = make_model(shape).train()
    missing, unexpected = model.load_state_dict(their_names(weights, shape), strict=False)
    if missing or unexpected:
        raise SystemExit(f"weights do not fit: missing {missing}, unexpected {unexpected}")
    model_moments = [their_names(m, shape) if m else {} for m in moments]
    optimizer = make_optimizer(model, model_moments, start, deck["optimizer"])
    if deck["data"].getboolean("shuffle"):
        raise SystemExit("the run's samples were shuffled: train with --data.shuffle=no")
    with h5py.File(deck["data"]["source"]) as file:
        stream = torch.from_numpy(file["tokens"][...].astype("int64"))
    batch, length = deck["batch"].getint("global"), deck["batch"].getint("length")

    worst, steps = 0.0, [s for s in sorted(metrics) if s > start]
    print(f"{folder.name}: {len(steps)} steps, {sum(p.numel() for p in model.parameters()):,} weights")
    print("   step       coxswain        PyTorch     difference   gradient norms")
    for step in steps:
        first = (step - 1) * batch
        windows = torch.stack([stream[i * length:(i + 1) * length + 1] for i in range(first, first + batch)])
        loss, norm = train_step(model, optimizer, windows, deck["batch"].getint("micro"),
                                metrics[step]["learning_rate"], deck["optimizer"].getfloat("clip_norm", 1.0))
        difference = loss - metrics[step]["loss"]
        worst = max(worst, abs(difference))
        if step == steps[0] or step == steps[-1] or step % 10 == 0:
            print(f"{step:7d} {metrics[step]['loss']:14.7f} {loss:14.7f} {difference:14.2e}   "
                  f"{metrics[step]['gradient_norm']:.5f} {norm:.5f}")
    good = bool(steps) and worst <= arguments.tolerance
    print(f"largest difference {worst:.2e}, allowed {arguments.tolerance:.0e}: {'agrees' if good else 'DIFFERS'}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
