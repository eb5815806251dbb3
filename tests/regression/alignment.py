"""Small models for the tests of PPO and of what judges it: a pre-trained policy and a reward model that likes the letter e."""
import json
import sys

from jobs import DECKS

CHAT = {"chat.user_prefix": "Q:", "chat.assistant_prefix": "\\nA:"}  # short: the models see 32 bytes
WORDS = ["sea", "wind", "oar", "rope", "deck", "mast", "sail", "keel", "bow", "stern", "tide", "buoy"]


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def comparisons():
    """Four responses to a prompt, ranked by how many e they have."""
    for i in range(96):
        responses = [" " + " ".join(WORDS[(i * 5 + j * 7 + k * 3) % len(WORDS)] for k in range(2))[:7] for j in range(4)]
        count = [response.count("e") for response in responses]
        order = sorted(set(count), reverse=True)
        if len(order) > 1:
            yield {"prompt": WORDS[i % 12], "responses": responses, "ranks": [order.index(c) + 1 for c in count],
                   "labeler": f"labeler {i % 3}"}


def must(bench, what, ended):
    if ended.code != 0:
        sys.exit(f"FAILED: {what} ended with {ended.code}\n{ended.text}")


def make_models(bench):
    """The keys of a ppo deck that name the models, prompts and texts, all made here by short runs."""
    data = bench.tokenize(40_000)
    shape = {"model.layers": 2, "model.hidden": 32, "model.heads": 4, "model.vocabulary": 257, "model.context": 32}
    policy, reward = bench.work / "policy", bench.work / "reward"
    must(bench, "pretrain", bench.run(DECKS / "small.ini", 1, data | shape | {
        "run.directory": policy, "run.steps": 30, "run.validate_every": 0, "grid.data": 1, "model.dropout": 0}))
    ranked = write_lines(bench.work / "comparisons.jsonl", comparisons())
    must(bench, "reward", bench.run(DECKS / "small.ini", 1, shape | CHAT | {
        "run.phase": "reward", "run.directory": reward, "run.initialize_from": policy, "run.steps": 20,
        "run.validate_every": 0, "grid.data": 1, "model.dropout": 0, "reward.comparisons": ranked, "reward.responses": 4,
        "reward.normalise": "none", "batch.micro": 1, "batch.global": 8, "optimizer.learning_rate": 2e-3}))
    prompts = write_lines(bench.work / "prompts.jsonl", ({"prompt": f"{a} {b}"} for a in WORDS for b in WORDS[:3]))
    return CHAT | {"run.initialize_from": policy, "ppo.reward_model": reward, "ppo.prompts": prompts,
            "data.source": data["data.source"]}
