"""Comparisons of a judge that likes responses with many a's, in JSONL; what the tests of reward models learn from."""
import json
import random


def response(chance, length=6):
    return "".join(chance.choice("abcd") for _ in range(length))


def comparison(chance, most):
    """Two to `most` responses, ranked by their number of a's: ties are ties. None where all are tied."""
    responses = [response(chance) for _ in range(chance.randint(2, most))]
    counts = [text.count("a") for text in responses]
    if len(set(counts)) == 1:
        return None
    order = sorted(set(counts), reverse=True)
    return {"prompt": f"p{chance.randrange(10)}", "responses": responses, "ranks": [order.index(n) + 1 for n in counts],
            "labeler": chance.choice(["ann", "bob"]), "source": chance.choice(["api", "web"])}


def write(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def files(folder, train, held_out, most=4, seed=1):
    """The keys that make a deck read them."""
    chance = random.Random(seed)
    lines = []
    while len(lines) < train + held_out:
        if line := comparison(chance, most):
            lines.append(line)
    demonstrations = [{"prompt": f"p{i % 10}", "response": response(chance)} for i in range(30)]
    return {"reward.comparisons": write(folder / "train.jsonl", lines[:train]),
            "reward.validation": write(folder / "held_out.jsonl", lines[train:]),
            "reward.reference": write(folder / "demonstrations.jsonl", demonstrations)}
