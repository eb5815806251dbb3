#!/usr/bin/env python3
"""Text to tokens to a model to text: a small GPT learns a small language far below the entropy of its letters, and what it
then writes is that language, the same on one rank and on two."""
import collections
import json
import math
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "regression"))
from jobs import DECKS, Bench, losses, metrics, state  # noqa: E402

WORDS = ["the", "eight", "pull", "one", "stroke", "boat", "river", "cox", "calls", "water"]
LEARNING = {"run.steps": 120, "run.validate_every": 40, "model.layers": 2, "model.dropout": 0, "model.embedding_dropout": 0,
            "optimizer.learning_rate": 1e-2, "optimizer.warmup_steps": 10, "checkpoint.every": 50}


def language(size):
    """Each word is followed by one of two others: one bit a word, about 1.3 bits a letter less than its letters tell."""
    chance, text, word = random.Random(5), [], 0
    while sum(map(len, text)) < size:
        text.append(WORDS[word] + (".\n\n" if chance.random() < 0.1 else " "))
        word = (3 * word + 1 + chance.randrange(2)) % len(WORDS)
    return "".join(text)


def entropy(text):
    counts = collections.Counter(text)
    return -sum(n / len(text) * math.log(n / len(text)) for n in counts.values())


def main():
    bench = Bench("pretrain")
    text = bench.work / "language.txt"
    text.write_text(language(60_000))
    data = {}
    for ranks in (1, 2):
        data[ranks] = {"data.source": bench.work / f"tokens_{ranks}.h5", "data.validation": bench.work / f"held_out_{ranks}.h5"}
        ended = bench.run(DECKS / "tokenize.ini", ranks, {
            "run.directory": bench.work / f"tokenize_{ranks}", "data.input": text,
            "data.output": data[ranks]["data.source"], "data.validation": data[ranks]["data.validation"]})
        bench.check(ended.code == 0, f"tokenize on {ranks} ranks: code {ended.code}", ended.text)
    for key, path in data[1].items():
        bench.check(path.read_bytes() == data[2][key].read_bytes(), f"{path.name} depends on the number of ranks")
    letters = entropy(text.read_text())
    run = bench.work / "run"
    ended = bench.run(DECKS / "small.ini", 2, data[1] | LEARNING | {"run.directory": run, "grid.pipeline": 2})
    bench.check(ended.code == 0, f"pretrain: code {ended.code}", ended.text)
    last = losses(run)[-1]
    bench.case(f"loss {last:.3f} after {len(losses(run))} steps; entropy of the letters {letters:.3f}")
    bench.check(last < 0.4 * letters, f"the loss {last:.3f} is not far below {letters:.3f}")
    held_out = float(metrics(run).rstrip().split(b'"validation_loss":')[-1].strip(b" }").decode())
    bench.check(held_out < 0.4 * letters, f"the loss on held-out text {held_out:.3f} is not far below {letters:.3f}")
    before, texts = state(run), set()
    for ranks, grid in [(1, {}), (1, {}), (2, {"grid.tensor": 2}), (2, {"grid.pipeline": 2})]:
        output = bench.work / "response.txt"
        shape = {key: value for key, value in LEARNING.items() if key.startswith("model.")}
        ended = bench.run(DECKS / "small.ini", ranks, shape | grid | {
            "run.phase": "generate", "run.directory": bench.work / f"generate_{bench.jobs}", "run.initialize_from": run,
            "generate.prompt": "the eight ", "generate.max_new_tokens": 22, "generate.temperature": 0.5,
            "generate.output": output})
        bench.check(ended.code == 0 and output.exists(), f"generate on {ranks} ranks {grid}: code {ended.code}", ended.text)
        texts.add(output.read_text())
    bench.case(f"texts: {texts}")
    bench.check(len(texts) == 1, f"the text depends on the run or the ranks: {texts}")
    words = json.loads(next(iter(texts)))["response"].replace(".", " ").split()[:-1]
    known = [word for word in words if any(real.endswith(word) for real in WORDS)]
    bench.check(len(known) >= 0.7 * len(words) > 0, f"few words of the language: {words}")
    bench.check(state(run) == before, "generate changed the run")
    bench.finish()


main()
