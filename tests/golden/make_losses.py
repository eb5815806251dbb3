#!/usr/bin/env python3
"""Makes losses.json: the losses and statistics of alignment by an independent program.

    pip install torch numpy                      (not needed by the build or by the tests)
    python3 tests/golden/make_losses.py          writes losses.json beside this script

Gradients are PyTorch's own (autograd, FP64) of losses written as the papers write them; sums that the program does by
recursion are done here by their definition. Inputs are FP32 values. Read by tests/regression/golden_alignment_test.cpp.
"""
import itertools
import json
import math
import pathlib

import torch
from torch.nn import functional

GENERATOR = torch.Generator().manual_seed(20261123)


def random(*shape, size=1.0):
    """Normal, rounded to FP32 so that the program reads the same numbers."""
    return (size * torch.randn(*shape, generator=GENERATOR, dtype=torch.float32)).double()


def listed(tensor):
    return tensor.detach().flatten().tolist()


def weights_of(count):
    """Some tokens are padding; the rest share one mean."""
    keep = (torch.rand(count, generator=GENERATOR) > 0.25).float()
    return (keep / keep.sum()).double()


def policy_loss():
    """torch.max and clamp, as Schulman et al. 2017 equation 7; terms as means over the weighted tokens."""
    count, clip = 64, 0.2
    log_probs = -random(count).abs()
    old = log_probs + random(count, size=0.3)
    old = old.float().double()
    advantages, weights = random(count, size=2.0), weights_of(count)
    token_loss = (-log_probs).float().double().requires_grad_()
    ratio = torch.exp(-token_loss - old)
    surrogates = torch.stack([-advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip)])
    loss = (weights * surrogates.max(dim=0).values).sum()
    loss.backward()
    clipped = ((ratio > 1 + clip) & (advantages > 0)) | ((ratio < 1 - clip) & (advantages < 0))
    return {"clip": clip, "token_loss": listed(token_loss), "old_log_probs": listed(old),
            "advantages": listed(advantages), "weights": listed(weights), "gradient": listed(token_loss.grad),
            "terms": [loss.item(), weights[clipped].sum().item(),
                      (weights * (ratio - 1 - ratio.log())).sum().item(), (weights * token_loss).sum().item()]}


def value_loss():
    count, clip = 64, 0.2
    old, returns, weights = random(count), random(count), weights_of(count)
    values = (old + random(count, size=0.4)).float().double().requires_grad_()
    bounded = old + (values - old).clamp(-clip, clip)
    errors = torch.stack([functional.mse_loss(x, returns, reduction="none") for x in (values, bounded)])
    loss = 0.5 * (weights * errors.max(dim=0).values).sum()
    loss.backward()
    return {"clip": clip, "values": listed(values), "old_values": listed(old), "returns": listed(returns),
            "weights": listed(weights), "gradient": listed(values.grad),
            "terms": [loss.item(), weights[errors[1] > errors[0]].sum().item()]}


def ranking_inputs():
    groups, k = 12, 9
    ranks = torch.randint(1, 6, (groups, k), generator=GENERATOR)  # with ties
    ranks[0] = torch.randperm(k, generator=GENERATOR) + 1          # without
    ranks[torch.rand(groups, k, generator=GENERATOR) < 0.2] = 0
    ranks[1] = 0
    ranks[2] = 3
    return random(groups, k, size=1.5).requires_grad_(), ranks, random(groups).abs()


def ranking(kind, group_loss):
    scores, ranks, weights = ranking_inputs()
    loss, counted, right = torch.zeros((), dtype=torch.float64), 0, 0
    for row, order, weight in zip(scores, ranks, weights):
        part, comparisons, good = group_loss(row[order > 0], order[order > 0])
        loss, counted, right = loss + weight * part, counted + comparisons, right + good
    loss.backward()
    return {"kind": kind, "scores": listed(scores), "ranks": listed(ranks), "group_weights": listed(weights),
            "shape": list(scores.shape), "gradient": listed(scores.grad), "terms": [loss.item(), counted, right]}


def pairwise(scores, ranks):
    """Ouyang et al. 2022 equation 1, over the pairs without a tie."""
    margins = [scores[i] - scores[j] if ranks[i] < ranks[j] else scores[j] - scores[i]
               for i, j in itertools.combinations(range(len(ranks)), 2) if ranks[i] != ranks[j]]
    if not margins:
        return 0, 0, 0
    margins = torch.stack(margins)
    return -functional.logsigmoid(margins).mean(), len(margins), int((margins > 0).sum())


def best_of_n(scores, ranks):
    """Ziegler et al. 2019 equation 1, with the target shared by those that tie for the best."""
    if len(set(ranks.tolist())) < 2:
        return 0, 0, 0
    target = (ranks == ranks.min()).double()
    loss = functional.cross_entropy(scores[None], (target / target.sum())[None])
    return loss, 1, int(target[scores.argmax()])


def scalar_projection():
    y, w, bias, dout = (random(*shape).requires_grad_() for shape in ((7, 40), (40,), (1,), (7,)))
    out = functional.linear(y, w[None], bias)[:, 0]
    (out * dout.detach()).sum().backward()
    return {"rows": 7, "columns": 40, "y": listed(y), "w": listed(w), "bias": listed(bias), "dout": listed(dout),
            "out": listed(out), "dy": listed(y.grad), "dw": listed(w.grad), "dbias": listed(bias.grad)}


def rollout():
    """Rewards, advantages as the sums of equation 16 and not by recursion, whitening by torch.var."""
    beta, discount, decay, score_clip, missing = 0.05, 0.98, 0.9, 1.0, -1.0
    episodes, rewards = [], []
    for length in (1, 5, 3, 8):
        log_probs, scale = -random(length).abs(), random(length, size=0.2)
        episode = {"log_probs": log_probs, "reference_log_probs": (log_probs + scale).float().double(),
                   "values": random(length)}
        score, ended = random(1, size=2.0), length != 3
        reward = -beta * (episode["log_probs"] - episode["reference_log_probs"])
        reward[-1] += score.clamp(-score_clip, score_clip).item() if ended else missing
        rewards.append(reward)
        episodes.append({name: listed(x) for name, x in episode.items()} |
                        {"score": score.item(), "ended": ended, "rewards": listed(reward)})
    whitened = whiten(rewards, keep_mean=True)
    advantages = []
    for episode, reward in zip(episodes, whitened):
        values = torch.tensor(episode["values"] + [0.0], dtype=torch.float64)
        deltas = reward + discount * values[1:] - values[:-1]
        count = len(reward)
        advantages.append(torch.stack([sum((discount * decay) ** l * deltas[t + l] for l in range(count - t))
                                       for t in range(count)]))
        episode |= {"whitened_rewards": listed(reward), "returns": listed(advantages[-1] + values[:-1])}
    for episode, advantage, white in zip(episodes, advantages, whiten(advantages, keep_mean=False)):
        episode |= {"advantages": listed(advantage), "whitened_advantages": listed(white)}
    return {"kl_coefficient": beta, "discount": discount, "lambda": decay, "score_clip": score_clip,
            "missing_end_score": missing, "episodes": episodes, "divergence": divergences(episodes)}


def whiten(parts, keep_mean):
    every = torch.cat(parts)
    variance, mean = torch.var_mean(every, correction=0)
    return [(part - mean) / torch.sqrt(variance + 1e-8) + (mean if keep_mean else 0) for part in parts]


def divergences(episodes):
    """Schulman's k1, k2, k3 of each token, averaged over tokens."""
    now = torch.tensor(sum((e["log_probs"] for e in episodes), []), dtype=torch.float64)
    reference = torch.tensor(sum((e["reference_log_probs"] for e in episodes), []), dtype=torch.float64)
    ratio = reference.exp() / now.exp()
    return [(-ratio.log()).mean().item(), (ratio.log() ** 2 / 2).mean().item(), (ratio - 1 - ratio.log()).mean().item()]


def kl_controller():
    start, target, horizon, episodes = 0.1, 6.0, 10000.0, 512
    seen, coefficients, value = [9.0, 6.5, 6.0, 5.5, 0.0, -1.0, 7.0], [], start
    for kl in seen:
        value *= 1 + min(0.2, max(-0.2, kl / target - 1)) * episodes / horizon
        coefficients.append(value)
    return {"start": start, "target": target, "horizon": horizon, "episodes": episodes, "divergence": seen,
            "coefficients": coefficients}


def best_of_n_mean():
    """Over all subsets of n samples: what the estimator is the closed form of. Some scores are equal."""
    proxy = torch.randint(0, 6, (9,), generator=GENERATOR).double()
    measured = random(9)
    expected = []
    for n in range(1, 10):
        kept = []
        for subset in itertools.combinations(range(9), n):
            highest = max(proxy[i] for i in subset)
            best = [measured[i].item() for i in subset if proxy[i] == highest]
            kept.append(sum(best) / len(best))
        expected.append(sum(kept) / len(kept))
    return {"proxy": listed(proxy), "measured": listed(measured), "expected": expected,
            "divergence": [math.log(n) - (n - 1) / n for n in range(1, 10)]}


def length_controlled():
    count = 60
    lengths = torch.randint(5, 100, (2, count), generator=GENERATOR).double()
    difference = lengths[0] - lengths[1]
    feature = torch.tanh(difference / difference.std(correction=0))
    ours = (0.4 + 0.9 * feature + random(count)).round()
    theirs = torch.zeros(count, dtype=torch.float64)
    wins = torch.where(ours > 0, 1.0, torch.where(ours == 0, 0.5, 0.0)).double()
    fit = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([fit], max_iter=500, tolerance_grad=1e-13, tolerance_change=1e-16,
                                  line_search_fn="strong_wolfe")

    def loss(x):
        logits = x[0] + x[1] * feature
        return functional.binary_cross_entropy_with_logits(logits, wins, reduction="sum") + 0.05 * x[1] ** 2

    def closure():
        optimizer.zero_grad()
        value = loss(fit)
        value.backward()
        return value

    optimizer.step(closure)
    covariance = torch.linalg.inv(torch.autograd.functional.hessian(loss, fit.detach()))
    reach = 1.959963984540054 * covariance[0, 0].sqrt()
    theta = fit[0].detach()
    return {"ours": listed(ours), "theirs": listed(theirs), "our_lengths": listed(lengths[0]),
            "their_lengths": listed(lengths[1]), "rate": torch.sigmoid(theta).item(), "effect": fit[1].item(),
            "interval": [torch.sigmoid(theta - reach).item(), torch.sigmoid(theta + reach).item()]}


def main():
    path = pathlib.Path(__file__).resolve().parent / "losses.json"
    result = {"policy_loss": policy_loss(), "value_loss": value_loss(),
              "ranking_loss": [ranking("pairwise", pairwise), ranking("best_of_n", best_of_n)],
              "scalar_projection": scalar_projection(), "rollout": rollout(), "kl_controller": kl_controller(),
              "best_of_n": best_of_n_mean(), "length_controlled": length_controlled()}
    path.write_text("{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(part)}" for name, part in result.items())
                    + "\n}\n")
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
