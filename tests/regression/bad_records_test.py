#!/usr/bin/env python3
"""What a new user's files and models may have wrong, in every phase that reads them: records that are too long, empty or no
numbers are counted and left out, or end the run with their names; so do models that are broken, of another kind or of another
tokenizer; a policy that never writes the stop is seen in the numbers. Comparisons alone: reward_test.py."""
import json
import math

from alignment import CHAT, WORDS, comparisons, make_models, must, write_lines
from jobs import DECKS, Bench, checkpoints, metrics

GOLDEN = DECKS.parents[1] / "golden"
OTHER_TOKENIZER = {"data.tokenizer": "gpt2", "data.vocabulary_file": GOLDEN / "gpt2_small_vocabulary.json",
                   "data.merges_file": GOLDEN / "gpt2_small_merges.txt", "model.vocabulary": 857}
GOOD = {"prompt": "sea", "response": "aes"}
MARKER = "ab\nA:cd"  # CHAT's assistant_prefix inside a text
# What is wrong, and the reason that is given. A response is of no use to prompts, which have none.
WRONG_PROMPTS = [
    ("a prompt that is too long", {"prompt": "x" * 40, "response": "y"}, " tokens: "),
    ("an empty prompt", {"prompt": " ", "response": "y"}, "empty prompt"),
    ("a marker in a text", {"prompt": MARKER, "response": "y"}, "a text with a marker of [chat] in it"),
    ("a conversation that ends with the assistant", {"prompt": [{"role": "assistant", "content": "a"}], "response": "y"},
     "ends with no user's turn"),
    ("a turn without text", {"prompt": [{"role": "user", "content": ""}], "response": "y"}, "a turn without text")]
WRONG_RESPONSES = [
    ("a response that is too long", {"prompt": "p", "response": "y" * 40}, " 32 tokens: "),
    ("an empty response", {"prompt": "p", "response": ""}, "empty response"),
    ("a marker in a response", {"prompt": "p", "response": MARKER}, "a text with a marker of [chat] in it")]
BAD_LINES = [
    ("no JSON", '{"prompt": "cut', "no JSON"),
    ("not a number", '{"prompt": "p", "response": "r", "scores": NaN}', "no JSON"),
    ("no record", '[1, 2]', "an object is wanted"),
    ("a number for a prompt", '{"prompt": 7, "response": "r"}', "\"prompt\" is a JSON number")]
BAD_SCORES = [
    ("scores that are no numbers", '{"prompt": "p", "responses": ["a", "b"], "scores": [NaN, 1]}', "no JSON"),
    ("scores that are null", '{"prompt": "p", "responses": ["a", "b"], "scores": [null, 1]}', "a number is wanted"),
    ("fewer scores than responses", '{"prompt": "p", "responses": ["a", "b"], "scores": [1]}', "2 responses and 1 ranks")]


class Phases:
    """A deck for each phase that reads records, and the key that names its file."""

    def __init__(self, bench):
        self.bench, self.number = bench, 0
        models = make_models(bench)
        self.policy, self.reward = models["run.initialize_from"], models["ppo.reward_model"]
        begin = CHAT | {"run.initialize_from": self.policy}
        text = {"data.source": models["data.source"]}
        quiet = {"run.validate_every": 0}
        self.keys = {
            "sft": begin | quiet | text | {"run.steps": 1, "sft.choose": "last"},
            "ppo": begin | {"run.steps": 1, "ppo.reward_model": self.reward, "ppo.pretrain_coefficient": 0},
            "reward": begin | quiet | {"run.steps": 1, "reward.normalise": "none"},
            "score": begin | quiet | {"run.phase": "score", "run.initialize_from": self.reward},
            "generate": begin | {"run.phase": "generate"},
            "evaluate": begin | {"evaluate.reward_model": self.reward}}
        self.decks = {name: DECKS / f"{name}.ini" for name in ("sft", "ppo", "reward", "evaluate")}
        self.decks |= {"score": DECKS / "reward.ini", "generate": DECKS / "evaluate.ini"}
        self.file = {"sft": "sft.demonstrations", "ppo": "ppo.prompts", "reward": "reward.comparisons",
                     "score": "score.input", "generate": "generate.prompts", "evaluate": "evaluate.prompts"}
        self.length = {"reward": {"batch.length": 32}, "score": {"batch.length": 32}}

    def run(self, phase, keys, ranks=2):
        self.number += 1
        output = {"score": "score.output", "generate": "generate.output"}.get(phase)
        base = {"run.directory": self.bench.work / f"run_{self.number}"} | self.length.get(phase, {})
        if output:
            base[output] = self.bench.work / f"output_{self.number}.jsonl"
        return self.bench.run(self.decks[phase], ranks, base | self.keys[phase] | keys)

    def expect(self, what, phase, keys, code, words):
        ended = self.run(phase, keys)
        wanted = ended.code == code and len(ended.errors()) == (code != 0)
        self.bench.check(wanted, f"{phase}, {what}: code {ended.code}, not {code}", ended.text)
        for word in words:
            self.bench.check(word in ended.text, f"{phase}, {what}: the output lacks '{word}'", ended.text)
        return ended


def records(phases):
    """A record that cannot be used, beside good ones and alone."""
    work = phases.bench.work
    for phase in ("sft", "score", "ppo", "generate", "evaluate"):
        wrong = WRONG_PROMPTS + (WRONG_RESPONSES if phase in ("sft", "score") else [])
        good = [GOOD | {"prompt": word} for word in WORDS]
        path = write_lines(work / "mixed.jsonl", good + [record for _, record, _ in wrong])
        phases.expect("one of each kind beside good ones", phase, {phases.file[phase]: path}, 0,
                      [reason for _, _, reason in wrong] + [f"{path}:{len(good) + len(wrong)}"])
        path = write_lines(work / "alone.jsonl", [record for _, record, _ in wrong])
        phases.expect("one of each kind alone", phase, {phases.file[phase]: path}, 65,
                      ["no usable"] + [reason for _, _, reason in wrong])
        phases.bench.case(f"{phase}: {len(wrong)} kinds of records are counted and left out; alone: code 65")


def lines(phases):
    work = phases.bench.work
    for phase, bad, good in (("sft", BAD_LINES, GOOD), ("score", BAD_LINES, GOOD), ("ppo", BAD_LINES, GOOD),
                             ("generate", BAD_LINES, GOOD), ("reward", BAD_SCORES, next(comparisons()))):
        path = work / "lines.jsonl"
        path.write_text("".join(line + "\n" for _, line, _ in bad) + json.dumps(good) + "\n")
        key = {phases.file[phase]: path}
        phases.expect("bad lines", phase, key, 65, [f"{path}:{i + 1}: " for i in range(len(bad))]
                      + [reason for _, _, reason in bad] + ["[data] on_bad_line = skip"])
        phases.expect("bad lines that are left out", phase, key | {"data.on_bad_line": "skip"}, 0,
                      [f"{len(bad)}  bad line", f"{path}:1"])
        phases.bench.case(f"{phase}: {len(bad)} kinds of bad lines: code 65, or counted")


def models(phases):
    """Reward models that are broken, that are none, or that see other tokens."""
    work = phases.bench.work
    ranked = write_lines(work / "ranked.jsonl", comparisons())
    broken, foreign = work / "broken", work / "foreign"
    step = {"run.steps": 1, "reward.comparisons": ranked, "reward.responses": 4}
    phases.expect("a step too far", "reward", step | {  # the checkpoint of step 1 stays
        "run.directory": broken, "run.steps": 2, "checkpoint.every": 1, "optimizer.learning_rate": 1e30}, 76, ["step 2"])
    must(phases.bench, "other tokens", phases.run("reward", step | OTHER_TOKENIZER | {
        "run.directory": foreign, "run.initialize_from": ""}))
    prompts = write_lines(work / "prompts_good.jsonl", ({"prompt": word} for word in WORDS))
    demonstrations = write_lines(work / "good.jsonl", ({"prompt": word, "response": word[::-1]} for word in WORDS))
    judged = {"sft.demonstrations": demonstrations, "sft.validation": demonstrations, "sft.choose": "reward",
              "run.validate_every": 1}
    for phase, key, keys in (("ppo", "ppo.reward_model", {"ppo.prompts": prompts}), ("sft", "sft.reward_model", judged),
                             ("evaluate", "evaluate.reward_model", {"evaluate.prompts": prompts})):
        for what, model, code, words in (
                ("a broken reward model", broken, 76, ["nan"]),
                ("a language model for a reward model", phases.policy, 65, ["is a language model", f"[{phase}] reward_model"]),
                ("a reward model of another tokenizer", foreign, 65, ["the same tokenizer"]),
                ("a reward model that is not there", work / "nowhere", 65, ["nowhere", "no checkpoint"])):
            ended = phases.expect(what, phase, keys | {key: model}, code, words)
            message = next((line for line in ended.text.splitlines() if line.startswith("coxswain: ")), "")
            phases.bench.case(f"{code} {phase}, {what}: {message[10:120]}")
    for phase, keys in (("ppo", {"ppo.prompts": prompts}), ("generate", {"generate.prompts": prompts}),
                        ("sft", {"sft.demonstrations": demonstrations})):
        phases.expect("a reward model for a policy", phase, keys | {"run.initialize_from": phases.reward}, 65,
                      ["is a reward model", "[run] initialize_from"])
    phases.bench.case("65 a reward model for a policy")
    far = {"optimizer.learning_rate": 1e30, "optimizer.warmup_steps": 0}
    for phase, keys in (("ppo", {"ppo.prompts": prompts} | far), ("sft", {"sft.demonstrations": demonstrations} | far),
                        ("ppo", {"ppo.prompts": prompts, "ppo.value_learning_rate": 1e30, "optimizer.warmup_steps": 0})):
        run = work / f"last_{phases.bench.jobs}"
        phases.expect("a last step too far", phase, keys | {"run.directory": run, "ppo.average_decay": 0}, 76,
                      ["step 1: the weights of the last update"])
        phases.bench.check(not checkpoints(run), f"{phase}: a last step too far was saved")
    phases.bench.case("76 a last step too far, of policy or value model: not saved")
    same_size(phases, prompts)


def same_size(phases, prompts):
    """As many tokens, but others: the vocabulary's own order of the first two merges is the other way round."""
    work = phases.bench.work
    merges = (GOLDEN / "gpt2_small_merges.txt").read_text().splitlines(keepends=True)
    swapped = work / "swapped_merges.txt"
    swapped.write_text("".join(merges[:1] + [merges[2], merges[1]] + merges[3:]))
    other = OTHER_TOKENIZER | {"data.merges_file": swapped}
    policy = work / "policy_857"
    must(phases.bench, "sft", phases.run("sft", other | {"run.directory": policy, "run.initialize_from": "",
         "sft.demonstrations": write_lines(work / "few.jsonl", [GOOD] * 8), "data.source": "", "sft.pretrain_share": 0}))
    for phase, keys in (("ppo", {"ppo.reward_model": work / "foreign", "ppo.prompts": prompts}),
                        ("evaluate", {"evaluate.reward_model": work / "foreign", "evaluate.prompts": prompts})):
        phases.expect("a reward model of a tokenizer of the same size", phase,
                      other | keys | {"run.initialize_from": policy}, 65,
                      ["another tokenizer", f"[{phase}] reward_model = "])
    phases.bench.case("65 a reward model of another tokenizer with as many tokens")
    other_text(phases, other, policy, prompts)


def other_text(phases, other, policy, prompts):
    """Tokens of bytes, all of which a vocabulary of 857 has, where words are meant."""
    work = phases.bench.work
    for phase, key, keys in (
            ("ppo", "source", {"ppo.reward_model": work / "foreign", "ppo.prompts": prompts, "ppo.pretrain_coefficient": 1}),
            ("evaluate", "validation", {"evaluate.reward_model": ""})):
        phases.expect("text of another tokenizer", phase,
                      other | keys | {"run.initialize_from": policy, f"data.{key}": work / "tokens.h5"}, 65,
                      [f"[data] {key} = ", "another tokenizer than [data] tokenizer = gpt2"])
    words = work / "words.h5"
    must(phases.bench, "tokenize", phases.bench.run(DECKS / "tokenize.ini", 1, OTHER_TOKENIZER | {
        "run.directory": work / "words", "data.input": work / "text.txt", "data.output": words,
        "data.validation": work / "held_out_words.h5"}))
    ended = phases.bench.run(DECKS / "small.ini", 1, {
        "run.directory": work / "pretrain", "model.vocabulary": 857, "grid.data": 1, "data.source": work / "tokens.h5",
        "data.validation": work / "held_out_words.h5"})
    phases.bench.check(ended.code == 65 and "[data] validation = " in ended.text and "than [data] source" in ended.text,
                       f"pretrain, held-out text of another tokenizer: code {ended.code}", ended.text)
    phases.bench.case("65 text of another tokenizer: ppo, evaluate, pretrain")


def stops(phases):
    """A stop that the policy never writes: but for a document's end, drawn now and then, responses are cut off, as the numbers
    say, and scored as the deck says."""
    work = phases.bench.work
    prompts = write_lines(work / "prompts_stop.jsonl", ({"prompt": word} for word in WORDS))
    never = {"chat.stop": "@@@@"}
    losses = set()
    for rule, keys in (("as_scored", {}), ("fixed", {"ppo.missing_end": "fixed", "ppo.missing_end_score": -3})):
        run = work / f"no_stop_{rule}"
        phases.expect(f"no stop, {rule}", "ppo", never | keys | {"ppo.prompts": prompts, "run.directory": run}, 0, [])
        line = json.loads(metrics(run).splitlines()[0])
        bench = phases.bench
        bench.check(line["ended"] < 0.2 and line["response_tokens"] > 7, f"almost nothing ends: {line}")
        bench.check(math.isfinite(line["reward"]), f"the reward model's own score stays to be seen: {line}")
        losses.add(line["value_loss"])
    bench.check(len(losses) == 2, f"what a missing end counts is the deck's: {losses}")
    output = work / "no_stop.jsonl"
    phases.expect("no stop", "generate", never | {"generate.prompts": prompts, "generate.output": output}, 0, [])
    responses = [json.loads(line) for line in output.read_text().splitlines()]
    stopped = [response for response in responses if response["finish_reason"] == "stop"]
    cut = [response["tokens"] for response in responses if response["finish_reason"] == "length"]
    phases.bench.check(len(cut) >= 10 and set(cut) == {8} and len(cut) + len(stopped) == len(responses), f"lengths {cut}")
    phases.bench.check(not any("@" in response["response"] for response in stopped), f"what stopped: {stopped}")
    phases.bench.case("a stop that is never written: only a document's end ends a response")


def main():
    bench = Bench("bad_records")
    phases = Phases(bench)
    for group in (records, lines, models, stops):
        group(phases)
    bench.finish()


main()
