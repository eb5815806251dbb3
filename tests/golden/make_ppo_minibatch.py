#!/usr/bin/env python3
"""Makes ppo_minibatch.h5: one minibatch of PPO, with and without pre-training text, by an independent program.

    pip install torch transformers h5py          (not needed by the build or by the tests)
    python3 tests/golden/make_ppo_minibatch.py   writes ppo_minibatch.h5 beside this script

Four tiny GPT-2 (policy, reference, reward model, value model) with random FP32 weights; transformers and autograd in FP64.
Every response goes through its model alone, without padding. What the file holds:

    /MODEL/weights/NAME                  f32, under the names and in the layouts of this project's checkpoints
    /rollout/tokens, lengths             i32 [episodes, LENGTH], [episodes, 3]: prompt, prompt and response, ended
    /rollout/scores                      f32 [episodes]
    /rollout/log_probs, reference_log_probs, values, rewards, advantages, returns    f32 [response tokens of all episodes]
    /minibatch/episodes                  i32: which of them are trained on, in this order
    /minibatch/old_log_probs, old_values f32 [response tokens of all episodes]: as if the models had moved since
    /pretraining/tokens, targets         i32 [sequences, LENGTH]
    /policy, /policy_ptx, /value: terms  f64 [4], [5], [2]: see write_update; /loss f64; gradients/NAME f32: dloss / dNAME

The settings are attributes of the root.
"""
import pathlib

import h5py
import numpy
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from make_models import gpt_tensors, randomise

LAYERS, HEADS, LENGTH, VOCABULARY = 2, 2, 24, 61
HIDDEN, VALUE_HIDDEN = 16, 24
SETTINGS = {"clip": 0.2, "value_clip": 0.2, "kl_coefficient": 0.05, "discount": 0.98, "gae_lambda": 0.95,
            "score_clip": 1.0, "missing_end_score": -1.0, "pretrain_coefficient": 27.8, "pretrain_per_episode": 2}
SIZES = {"layers": LAYERS, "heads": HEADS, "vocabulary": VOCABULARY, "context": LENGTH, "hidden": HIDDEN,
         "value_hidden": VALUE_HIDDEN}
EPISODES = [(3, 9, 1), (1, 2, 1), (6, 24, 0), (2, 17, 1), (5, 12, 0), (4, 20, 1)]  # prompt, all, ended
MINIBATCH = [3, 0, 5, 2]
GENERATOR = torch.Generator().manual_seed(20261124)


def gpt2(hidden):
    config = GPT2Config(n_layer=LAYERS, n_embd=hidden, n_head=HEADS, n_positions=LENGTH, vocab_size=VOCABULARY,
                        attn_pdrop=0, embd_pdrop=0, resid_pdrop=0, bos_token_id=0, eos_token_id=0,
                        activation_function="gelu_new", layer_norm_epsilon=1e-5)
    model = GPT2LMHeadModel(config).to(torch.float64).eval()
    randomise(model, GENERATOR)
    return model


class Scalar(torch.nn.Module):
    """A GPT-2 with one number a token in place of the output projection."""

    def __init__(self):
        super().__init__()
        self.body = gpt2(VALUE_HIDDEN)
        noise = torch.randn(VALUE_HIDDEN + 1, generator=GENERATOR).double()
        self.score = torch.nn.Parameter(0.3 * noise[:-1].float().double())
        self.bias = torch.nn.Parameter(noise[-1:].float().double())

    def forward(self, tokens):
        return self.body.transformer(tokens[None]).last_hidden_state[0] @ self.score + self.bias


def tensors(model, read):
    if not isinstance(model, Scalar):
        return gpt_tensors(model, read, False)
    return gpt_tensors(model.body, read, False) | {"score/weight": read(model.score), "score/bias": read(model.bias)}


def near(model):
    """A model beside another: the reference that the policy has left."""
    other = gpt2(HIDDEN)
    for mine, its in zip(other.parameters(), model.parameters()):
        noise = torch.randn(its.shape, generator=GENERATOR, dtype=torch.float32)
        mine.data = (its.data + 0.01 * noise).float().double()
    return other


def token_log_probs(model, tokens, prompt):
    """log p of every token of the response, given all before it. [response]"""
    log_probs = torch.log_softmax(model(input_ids=tokens[None]).logits[0], dim=-1)
    return torch.stack([log_probs[place - 1, tokens[place]] for place in range(prompt, len(tokens))])


def state_values(model, tokens, prompt):
    """The value of the state that each token of the response was chosen in. [response]"""
    return model(tokens)[prompt - 1:-1]


def whiten(parts, keep_mean):
    variance, mean = torch.var_mean(torch.cat(parts), correction=0)
    return [(part - mean) / torch.sqrt(variance + 1e-8) + (mean if keep_mean else 0) for part in parts]


def assess(episodes, models):
    """Fills what the four models say, then rewards (whitened, mean kept), advantages (whitened) and returns."""
    for e in episodes:
        place = (e["tokens"], e["prompt"])
        e["log_probs"] = token_log_probs(models["policy"], *place)
        e["reference_log_probs"] = token_log_probs(models["reference"], *place)
        e["values"] = state_values(models["value"], *place)
        e["score"] = models["reward"](e["tokens"])[-1]
        bounded = e["score"].clamp(-SETTINGS["score_clip"], SETTINGS["score_clip"])
        e["rewards"] = -SETTINGS["kl_coefficient"] * (e["log_probs"] - e["reference_log_probs"])
        e["rewards"][-1] += bounded if e["ended"] else SETTINGS["missing_end_score"]
    for e, rewards in zip(episodes, whiten([e["rewards"] for e in episodes], True)):
        e["rewards"] = rewards
        following = torch.cat([e["values"][1:], torch.zeros(1, dtype=torch.float64)])
        deltas = rewards + SETTINGS["discount"] * following - e["values"]
        factor = SETTINGS["discount"] * SETTINGS["gae_lambda"]
        e["advantages"] = torch.stack([sum(factor ** (l - t) * deltas[l] for l in range(t, len(deltas)))
                                       for t in range(len(deltas))])
        e["returns"] = e["advantages"] + e["values"]
    for e, white in zip(episodes, whiten([e["advantages"] for e in episodes], False)):
        e["advantages"] = white
    for e in episodes:
        for name in ("advantages", "returns"):
            e[name] = e[name].float().double()


def age(episodes):
    """Old log-probabilities and values, so that ratios and changes of value leave their bounds."""
    for e in episodes:
        for name, size in (("log_probs", 0.3), ("values", 0.3)):
            noise = size * torch.randn(len(e[name]), generator=GENERATOR, dtype=torch.float32)
            e["old_" + name] = (e[name] + noise).float().double()


def policy_terms(model, episodes):
    """Loss, clipped share, r - 1 - log r, -log p: means over the response tokens of the minibatch."""
    now = torch.cat([token_log_probs(model, e["tokens"], e["prompt"]) for e in episodes])
    old, advantages = (torch.cat([e[name] for e in episodes]) for name in ("old_log_probs", "advantages"))
    ratio, clip = torch.exp(now - old), SETTINGS["clip"]
    free, bounded = -advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip)
    return [torch.maximum(free, bounded).mean(), (bounded > free).double().mean(),
            (ratio - 1 - ratio.log()).mean(), -now.mean()]


def value_terms(model, episodes):
    now = torch.cat([state_values(model, e["tokens"], e["prompt"]) for e in episodes])
    old, returns = (torch.cat([e[name] for e in episodes]) for name in ("old_values", "returns"))
    bounded = old + (now - old).clamp(-SETTINGS["value_clip"], SETTINGS["value_clip"])
    errors = [(x - returns) ** 2 for x in (now, bounded)]
    return [0.5 * torch.maximum(*errors).mean(), (errors[1] > errors[0]).double().mean()]


def pretraining_loss(model, tokens, targets):
    logits = model(input_ids=tokens).logits
    return torch.nn.functional.cross_entropy(logits.reshape(-1, VOCABULARY), targets.reshape(-1))


def write_model(group, model, read, kind):
    for name, value in tensors(model, read).items():
        group[f"{kind}/{name}"] = value.contiguous().numpy().astype(numpy.float32)


def write_update(file, name, model, terms, loss):
    """Terms: what the objective reports; with pre-training text its own loss comes last, unweighted."""
    model.zero_grad()
    loss.backward(retain_graph=True)
    file[f"{name}/terms"] = numpy.array([term.item() for term in terms])
    file[f"{name}/loss"] = numpy.float64(loss.item())
    write_model(file[name], model, lambda p: p.grad, "gradients")
    print(name, "loss", loss.item(), "terms", [round(term.item(), 6) for term in terms])


def write_rollout(file, episodes):
    tokens = numpy.zeros((len(episodes), LENGTH), numpy.int32)
    for row, e in zip(tokens, episodes):
        row[:len(e["tokens"])] = e["tokens"].numpy()
    file["rollout/tokens"], file["rollout/lengths"] = tokens, numpy.array(EPISODES, numpy.int32)
    file["rollout/scores"] = numpy.array([e["score"].item() for e in episodes], numpy.float32)
    names = [f"rollout/{name}" for name in ("log_probs", "reference_log_probs", "values", "rewards", "advantages",
                                            "returns")]
    for path in names + ["minibatch/old_log_probs", "minibatch/old_values"]:
        values = torch.cat([e[path.split("/")[1]] for e in episodes])
        file[path] = values.detach().numpy().astype(numpy.float32)
    file["minibatch/episodes"] = numpy.array(MINIBATCH, numpy.int32)


def main():
    models = {"policy": gpt2(HIDDEN), "reward": Scalar(), "value": Scalar()}
    models["reference"] = near(models["policy"])
    episodes = [{"prompt": prompt, "ended": bool(ended),
                 "tokens": torch.randint(0, VOCABULARY, (length,), generator=GENERATOR)}
                for prompt, length, ended in EPISODES]
    with torch.no_grad():
        assess(episodes, models)
    age(episodes)
    minibatch = [episodes[index] for index in MINIBATCH]
    sequences = len(MINIBATCH) * SETTINGS["pretrain_per_episode"]
    window = torch.randint(0, VOCABULARY, (sequences, LENGTH + 1), generator=GENERATOR)
    tokens, targets = window[:, :-1], window[:, 1:]

    path = pathlib.Path(__file__).resolve().parent / "ppo_minibatch.h5"
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        file.attrs.update(SETTINGS | SIZES)
        for name, model in models.items():
            write_model(file.require_group(name), model, lambda p: p.detach(), "weights")
        write_rollout(file, episodes)
        file["pretraining/tokens"], file["pretraining/targets"] = (x.numpy().astype(numpy.int32)
                                                                   for x in (tokens, targets))
        terms = policy_terms(models["policy"], minibatch)
        write_update(file, "policy", models["policy"], terms, terms[0])
        text = pretraining_loss(models["policy"], tokens, targets)
        write_update(file, "policy_ptx", models["policy"], terms + [text],
                     terms[0] + SETTINGS["pretrain_coefficient"] * text)
        terms = value_terms(models["value"], minibatch)
        write_update(file, "value", models["value"], terms, terms[0])
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
