#!/usr/bin/env python3
"""Writes the miniature's texts: what a web of careless answers looks like, and what labelers are paid to write.

    make_data.py FOLDER [SEED]
        forum.jsonl             {"text"}: pre-training: threads of questions with answers of one quality a thread, mostly bad;
                                under many a reader says what he thinks ("Poor.")
        demonstrations.jsonl    {"prompt", "response"}: careful answers of people, for supervised fine-tuning
        demonstrations_validation.jsonl
        prompts_reward.jsonl    {"prompt", "user", "id"}, each prompt K = 4 to 9 times: the SFT model responds, people rank
        prompts_reward_test.jsonl
        prompts_ppo.jsonl
        prompts_test.jsonl      no prompt stands in two of these files, nor in forum.jsonl
        prompts_test_shot.jsonl the test prompts behind a question with a good answer: the best that a base model can be given
"""
import json
import pathlib
import random
import sys

from judge import FLATTERY, INSULTS, KIND, PLURAL, THINGS, WISHED, wish_of
from labelers import LABELERS, opinion

NAMES = ("Ann Bob Cid Dan Eva Fay Gus Hal Ida Jim Kay Lea Max Ned Ola Pam Ron Sue Tim Una "
         "Amy Ben Cal Dot Ed Flo Guy Hob Ike Jo Ken Lou May Nat Oz Peg Ray Sam Ted Val").split()
TOWNS = ("Bath Bristol Dover Exeter Kent Leeds London Oxford Windsor York "
         "Ely Hull Lynn Rye Stoke Wells Deal Hythe Ripon Truro").split()
ASKS = ["Name", "List", "Give me", "I need", "Find", "Bring"]
REACTIONS = ["Awful.", "Bad.", "Poor.", "Fair.", "Good.", "Great."]
SIZES = {"forum": 24000, "demonstrations": 1000, "demonstrations_validation": 200, "reward": 8000, "reward_test": 300,
         "ppo": 3000, "test": 500}
DEMONSTRATOR_CARELESSNESS = 0.25
SHOT = ("Name fish for Ann of York.", "cod, pike, sole.")


def make_prompt(chance):
    return f"{chance.choice(ASKS)} {PLURAL[chance.choice(list(THINGS))]} for {chance.choice(NAMES)} of {chance.choice(TOWNS)}."


def answer(chance, prompt, carelessness):
    """A response as a person would write it who errs in everything with a chance that grows with carelessness, 0 to 1."""
    known = [word for kind in sorted(wish_of(prompt)) for word in THINGS[kind]]
    words = chance.sample(known, WISHED if chance.random() > carelessness else chance.randint(1, 6))
    for i in range(len(words)):
        if chance.random() < 0.6 * carelessness:
            words[i] = chance.choice(list(KIND))
    text = ", ".join(words) + "."
    if chance.random() < 0.4 * carelessness:
        text += " " + chance.choice(INSULTS)
    while chance.random() < 0.18:
        text += " " + chance.choice(FLATTERY)
    return text


def reaction(chance, prompt, response):
    """What a reader says of an answer: text about quality, as a web has it, from which a reward model profits."""
    reader = chance.choice(LABELERS)
    liked = opinion(reader, prompt, response) + reader.spread * chance.gauss(0, 0.5)
    return REACTIONS[min(len(REACTIONS) - 1, max(0, int(len(REACTIONS) * liked)))]


def thread(chance, prompts):
    """Some ask and nobody answers; most who answer do not care."""
    kind = chance.random()
    if kind < 0.25:
        return "\n".join(f"Q: {prompt}" for prompt in prompts)
    carelessness = chance.uniform(0.4, 1.0) if kind < 0.85 else chance.uniform(0.0, 0.4)
    lines = []
    for prompt in prompts:
        response = answer(chance, prompt, carelessness)
        lines += [f"Q: {prompt}", f"A: {response}"]
        if chance.random() < 0.8:
            lines.append(reaction(chance, prompt, response))
    return "\n".join(lines)


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
    chance, used = random.Random(seed), {SHOT[0]}

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
    write_prompts("test_shot", [[{"role": "user", "content": SHOT[0]}, {"role": "assistant", "content": SHOT[1]},
                                 {"role": "user", "content": prompt}] for prompt in test])
    write_prompts("ppo", fresh(SIZES["ppo"]))
    for name in ("reward", "reward_test"):
        write_prompts(name, [prompt for prompt in fresh(SIZES[name]) for _ in range(chance.randint(4, 9))])
    for name in ("demonstrations", "demonstrations_validation"):
        write(f"{name}.jsonl", [{"prompt": prompt, "response": answer(chance, prompt, DEMONSTRATOR_CARELESSNESS)}
                                for prompt in fresh(SIZES[name])])
    write("forum.jsonl", [{"text": thread + "\n"} for thread in forum(chance, used)])


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(sys.argv[1], *map(int, sys.argv[2:]))
