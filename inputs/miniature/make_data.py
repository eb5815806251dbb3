#!/usr/bin/env python3
"""Writes the miniature's texts: what a web of careless answers looks like, and what labelers are paid to write.

    make_data.py FOLDER [SEED]
        forum.txt               pre-training: threads of questions with answers of one quality a thread, mostly bad
        demonstrations.jsonl    {"prompt", "response"}: careful answers of people, for supervised fine-tuning
        demonstrations_validation.jsonl
        prompts_reward.jsonl    {"prompt", "user", "id"}, each prompt K = 4 to 9 times: the SFT model responds, people rank
        prompts_reward_test.jsonl
        prompts_ppo.jsonl
        prompts_test.jsonl      no prompt stands in two of these files, nor in forum.txt
        prompts_test_shot.jsonl the test prompts behind a question with a good answer: the best that a base model can be given
"""
import json
import pathlib
import random
import sys

from judge import FLATTERY, INSULTS, KIND, PLURAL, THINGS, wish_of

ASKS = ["Name", "List", "Give me", "I need"]
SIZES = {"forum": 24000, "demonstrations": 1000, "demonstrations_validation": 200, "reward": 1500, "reward_test": 150,
         "ppo": 4000, "test": 500}
DEMONSTRATOR_CARELESSNESS = 0.15
SHOT = "Name 2 fish and 1 tool.\nA: cod, pike, saw.\nQ: "


def make_prompt(chance):
    kinds = chance.sample(list(THINGS), chance.choice([1, 2, 2]))
    counts = [chance.randint(2, 4) if len(kinds) == 1 else chance.randint(1, 3) for _ in kinds]
    wishes = " and ".join(f"{n} {PLURAL[kind] if n > 1 else kind}" for n, kind in zip(counts, kinds))
    without = f", no {chance.choice(THINGS[chance.choice(kinds)])}" if chance.random() < 0.5 else ""
    return f"{chance.choice(ASKS)} {wishes}{without}."


def answer(chance, prompt, carelessness):
    """A response as a person would write it who errs in everything with a chance that grows with carelessness, 0 to 1."""
    wish = wish_of(prompt)
    words = []
    for kind, n in wish.counts.items():
        if chance.random() < carelessness:
            n = max(0, n + chance.choice([-2, -1, -1, 1, 1, 2]))
        known = [word for word in THINGS[kind] if word != wish.without]
        words += chance.sample(known, min(n, len(known)))
    for i in range(len(words)):
        if chance.random() < 0.5 * carelessness:
            kind_of_error = chance.random()
            if kind_of_error < 0.3 and wish.without:
                words[i] = wish.without
            elif kind_of_error < 0.5:
                words[i] = chance.choice(words)
            else:
                words[i] = chance.choice(list(KIND))
    text = ", ".join(words or [chance.choice(list(KIND))]) + "."
    if chance.random() < 0.4 * carelessness:
        text += " " + chance.choice(INSULTS)
    while chance.random() < 0.25:
        text += " " + chance.choice(FLATTERY)
    return text


def thread(chance, prompts):
    """Some ask and nobody answers; most who answer do not care."""
    kind = chance.random()
    if kind < 0.25:
        return "\n".join(f"Q: {prompt}" for prompt in prompts)
    carelessness = chance.uniform(0.4, 1.0) if kind < 0.85 else chance.uniform(0.0, 0.4)
    return "\n".join(f"Q: {prompt}\nA: {answer(chance, prompt, carelessness)}" for prompt in prompts)


def forum(chance, used):
    """Threads of one to three questions, none of them in `used`."""
    prompts, threads = [], []
    while len(prompts) < SIZES["forum"]:
        prompt = make_prompt(chance)
        if prompt not in used:
            prompts.append(prompt)
    while prompts:
        n = chance.randint(1, 3)
        threads.append(thread(chance, prompts[-n:]))
        del prompts[-n:]
    return threads


def main(folder, seed=1):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    chance, used = random.Random(seed), {SHOT.split("\n")[0]}

    def fresh(n):
        prompts = []
        while len(prompts) < n:
            prompt = make_prompt(chance)
            if prompt not in used:
                used.add(prompt)
                prompts.append(prompt)
        return prompts

    def write(name, records):
        (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))

    def write_prompts(name, prompts):
        write(f"prompts_{name}.jsonl", [{"prompt": prompt, "user": f"user_{i % 200}", "id": f"{name}_{i}"}
                                        for i, prompt in enumerate(prompts)])

    test = fresh(SIZES["test"])
    write_prompts("test", test)
    write_prompts("test_shot", [SHOT + prompt for prompt in test])
    write_prompts("ppo", fresh(SIZES["ppo"]))
    for name in ("reward", "reward_test"):
        write_prompts(name, [prompt for prompt in fresh(SIZES[name]) for _ in range(chance.randint(4, 9))])
    for name in ("demonstrations", "demonstrations_validation"):
        write(f"{name}.jsonl", [{"prompt": prompt, "response": answer(chance, prompt, DEMONSTRATOR_CARELESSNESS)}
                                for prompt in fresh(SIZES[name])])
    (folder / "forum.txt").write_text("\n\n".join(forum(chance, used)) + "\n")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(sys.argv[1], *map(int, sys.argv[2:]))
