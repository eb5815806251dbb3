#!/usr/bin/env python3
"""Reward models on several grids: metrics, checkpoints, the report and the scores of a file are equal byte for byte; a run
that is killed goes on elsewhere as if nothing had been; what a new user may get wrong is one error with its code or a count."""
import json
import shutil
import time

import ranked
from jobs import DECKS, Bench, Grid, checkpoints, difference, metrics, state, steps_done

DECK = DECKS / "reward.ini"
GOLDEN = DECKS.parents[1] / "golden"
OTHER_TOKENIZER = {"data.tokenizer": "gpt2", "data.vocabulary_file": GOLDEN / "gpt2_small_vocabulary.json",
                   "data.merges_file": GOLDEN / "gpt2_small_merges.txt", "model.vocabulary": 857}
GRIDS = ["2x1x1", "1x2x1", "1x1x2", "2x2x2"]


def report(run):
    return (run / "reward_report.json").read_text()


def score(bench, model, grid, source, keys=None):
    bench.jobs += 1
    output = bench.work / f"scores_{bench.jobs}.jsonl"
    ended = bench.run(DECK, grid.ranks, grid.keys() | {
        "run.phase": "score", "run.directory": bench.work / f"score_{bench.jobs}", "run.initialize_from": model,
        "run.validate_every": 0, "score.input": source, "score.output": output} | (keys or {}))
    return ended, output.read_bytes() if output.exists() else b""


def grids(bench, data, gold):
    sources = (data["reward.validation"], data["reward.reference"])
    expected = [score(bench, gold, Grid("1x1x1"), source)[1] for source in sources]
    for name in GRIDS:
        grid, run = Grid(name), bench.work / name
        ended = bench.run(DECK, grid.ranks, data | grid.keys() | {"run.directory": run})
        if not bench.check(ended.code == 0, f"{name}: code {ended.code}", ended.text):
            continue
        unlike = difference(run, gold) or ("" if report(run) == report(gold) else "reward_report.json")
        bench.check(not unlike, f"grid {name}", unlike)
        for source, wanted in zip(sources, expected):
            ended, scores = score(bench, gold, grid, source)
            bench.check(ended.code == 0 and scores == wanted and scores, f"scores of {source.name} on {name}", ended.text)
        bench.case(f"{name}: metrics, state, report and scores are those of one rank")
    lines = [json.loads(line) for line in expected[0].splitlines()]
    originals = [json.loads(line) for line in sources[0].read_text().splitlines()]
    bench.check([{k: v for k, v in line.items() if k != "score"} for line in lines] == originals, "other keys are kept")
    bench.check(all(len(line["score"]) == len(line["responses"]) for line in lines), "a score for each response")
    ended, scores = score(bench, gold, Grid("1x1x1"), ranked.write(
        bench.work / "unranked.jsonl", [{"prompt": line["prompt"], "responses": line["responses"]} for line in originals]))
    bench.check([json.loads(line)["score"] for line in scores.splitlines()] == [line["score"] for line in lines],
                "responses that nobody has ranked have the scores of ranked ones", ended.text)
    demonstrations = [json.loads(line)["score"] for line in expected[1].splitlines()]
    mean = sum(demonstrations) / len(demonstrations)
    bench.check(abs(mean) < 1e-5, f"the checkpoint's scores of the reference have mean {mean}, not 0")


def restart(bench, data, gold):
    run = bench.work / "killed"
    for goal, name in ((4, "1x1x2"), (8, "2x1x1")):
        grid = Grid(name)
        job = bench.start(DECK, grid.ranks, data | grid.keys() | {"run.directory": run})
        while job.running() and steps_done(run) < goal:
            time.sleep(0.001)
        job.kill()
        job.end()
    ended = bench.run(DECK, 2, data | {"grid.pipeline": 2, "run.directory": run})
    unlike = difference(run, gold) or ("" if report(run) == report(gold) else "reward_report.json")
    bench.check(ended.code == 0 and not unlike, f"killed twice: code {ended.code}", unlike or ended.text)
    bench.case("killed twice, each time on another grid")
    same = ranked.write(bench.work / "same.jsonl", 2 * [{"prompt": "p1", "response": "abcd"}])
    ended = bench.run(DECK, 1, data | {"run.directory": bench.work / "same", "reward.normalise": "gain_and_bias",
                                       "reward.reference": same})
    bench.check(ended.code == 65 and len(ended.errors()) == 1 and "1 different demonstration" in ended.text,
                f"a gain from equal demonstrations: code {ended.code}", ended.text)
    other = dict(data)
    other["reward.comparisons"] = data["reward.validation"]
    ended = bench.run(DECK, 1, other | {"run.directory": run, "run.steps": 12})
    bench.check(ended.code == 65 and len(ended.errors()) == 1 and "[reward] comparisons" in ended.text,
                f"other comparisons in a restart: code {ended.code}", ended.text)
    ended = bench.run(DECK, 1, data | {"run.directory": run, "run.steps": 12, "reward.reference": ranked.write(
        bench.work / "other_reference.jsonl", [{"prompt": "p1", "response": "abcd"}])})
    bench.check(ended.code == 65 and len(ended.errors()) == 1 and "[reward] reference" in ended.text,
                f"other demonstrations to normalise on in a restart: code {ended.code}", ended.text)


def wholes(bench, data):
    """The loss best_of_n; gain and bias; one epoch with a last step that is not full."""
    expected = {}
    for name in ("1x1x1", "1x2x2"):
        grid, run = Grid(name), bench.work / f"epoch_{name}"
        ended = bench.run(DECK, grid.ranks, data | grid.keys() | {
            "run.directory": run, "run.steps": 0, "reward.epochs": 1, "reward.loss": "best_of_n",
            "reward.normalise": "gain_and_bias", "run.validate_every": 3})
        if not bench.check(ended.code == 0, f"epoch on {name}: code {ended.code}", ended.text):
            return
        expected[name] = (metrics(run), state(run), report(run))
        reference = json.loads(report(run))["reference"]
        bench.check(abs(reference["mean"]) < 1e-5 and abs(reference["deviation"] - 1) < 1e-5, f"reference {reference}")
        bench.check(steps_done(run) == 7, f"{steps_done(run)} steps of 50 comparisons, 8 a step")
    bench.check(expected["1x1x1"] == expected["1x2x2"], "best of n, gain and bias: the grids differ")
    bench.case("best of n, gain and bias, one epoch")


def equal_scores(bench, data):
    """A step that is much too long leaves weights with which all texts score alike: no gain stretches that, but the training is
    kept, and goes on to its end with other demonstrations or with the bias alone."""
    run = bench.work / "equal"
    keys = data | {"run.directory": run, "run.steps": 1, "run.validate_every": 0, "optimizer.learning_rate": 1e7,
                   "optimizer.warmup_steps": 0, "reward.normalise": "gain_and_bias"}
    two = {"reward.reference": ranked.write(bench.work / "two.jsonl", [{"prompt": "p1", "response": "abcd"},
                                                                       {"prompt": "p2", "response": "dcbd"}])}
    for goes_on in (False, True):
        ended = bench.run(DECK, 1, keys | two)
        bench.check(ended.code == 65 and len(ended.errors()) == 1 and "all 2 demonstrations of [reward] reference" in ended.text
                    and str(checkpoints(run)[-1]) in ended.text and ("goes on from step 1 of 1" in ended.text) == goes_on,
                    f"equal scores: code {ended.code}", ended.text)
    kept = bench.work / "kept"
    shutil.copytree(run, kept)
    unnormalised = state(run)["state"]
    for name, ranks, other in (("other demonstrations", 2, {"run.directory": kept, "grid.tensor": 2}),
                               ("the bias alone", 1, two | {"reward.normalise": "bias"})):
        ended = bench.run(DECK, ranks, keys | other)
        bench.check(ended.code == 0 and "goes on from step 1 of 1" in ended.text, f"{name}: code {ended.code}", ended.text)
        bench.check(state(run)["state"] != unnormalised or name != "the bias alone", f"{name}: saved as it was")
        bench.case(f"equal scores, then {name}: code {ended.code}")
    ended = bench.run(DECK, 1, keys | {"run.directory": kept, "run.steps": 2} | two)
    bench.check(ended.code == 65 and "[reward] reference" in ended.text,
                f"other demonstrations later: code {ended.code}", ended.text)


def weights_of_others(bench, data):
    """A reward model begins as a language model, which cannot score; a broken reward model scores nothing."""
    language, broken = bench.work / "language", bench.work / "broken"
    quiet = {"run.validate_every": 0, "reward.validation": "", "run.steps": 1, "reward.normalise": "none"}
    far = {"run.directory": broken, "optimizer.learning_rate": 1e30}
    runs = [("a language model", 0, {"run.phase": "pretrain", "run.directory": language, "data.source": "synthetic"}),
            ("a reward model from it", 0, {"run.directory": bench.work / "from_it", "run.initialize_from": language}),
            ("a last step too far", 76, far), ("a step too far", 76, far | {"run.steps": 2, "checkpoint.every": 1})]
    for name, code, keys in runs:
        ended = bench.run(DECK, 1, data | quiet | keys)
        bench.check(ended.code == code, f"{name}: code {ended.code}", ended.text)
        if name == "a last step too far":
            bench.check("step 1: the weights of the last update" in ended.text and not checkpoints(broken),
                        f"{name} was saved", ended.text)
    for model, code, words in ((language, 65, "is a language model"), (broken, 76, "the score is")):
        ended, scores = score(bench, model, Grid("1x1x2"), data["reward.reference"])
        bench.check(ended.code == code and words in ended.text and len(ended.errors()) == 1 and not scores,
                    f"scores of {model.name}: code {ended.code}", ended.text)
        bench.case(f"scores of {model.name}: code {code}")


def bad_input(bench, data, gold):
    good = {"prompt": "p", "responses": ["aa", "bb"], "ranks": [1, 2]}
    left_out = {
        "one response": ({"prompt": "p", "responses": ["a"], "ranks": [1]}, "one response"),
        "all ties": ({"prompt": "p", "responses": ["a", "b"], "ranks": [1, 1]}, "ties only"),
        "an empty response": ({"prompt": "p", "responses": ["a", ""], "ranks": [1, 2]}, "empty response"),
        "too long": ({"prompt": "p", "responses": ["a", "b" * 99], "ranks": [1, 2]}, "beyond 24 tokens")}
    for name, (line, words) in left_out.items():
        for lines, code in (([line, good], 0), ([line], 65)):
            run = bench.work / f"bad_{bench.jobs}"
            source = ranked.write(bench.work / "bad.jsonl", lines)
            ended = bench.run(DECK, 1, data | {"reward.comparisons": source, "run.directory": run, "run.steps": 1})
            bench.check(ended.code == code and words in ended.text and len(ended.errors()) == (code != 0),
                        f"{name}, {len(lines)} lines: code {ended.code}", ended.text)
        bench.case(f"{name}: left out and counted; alone: code 65")
    model = {"run.initialize_from": gold}
    refused = [
        ("more responses than [reward] responses", {"reward.responses": 2}, 65, "[reward] responses = 2"),
        ("no reference", {"reward.reference": ""}, 64, "[reward] reference"),
        ("no validation", {"reward.validation": ""}, 64, "[reward] validation"),
        ("a learning rate that diverges", {"optimizer.learning_rate": 1e30, "optimizer.clip_norm": 0}, 76, "not finite")]
    for name, keys, code, words in refused:
        ended = bench.run(DECK, 1, data | keys | {"run.directory": bench.work / f"bad_{bench.jobs}"})
        bench.check(ended.code == code and words in ended.text and len(ended.errors()) == 1,
                    f"{name}: code {ended.code}", ended.text)
        bench.case(f"{name}: code {ended.code}")
    for phase in ("reward", "score"):
        keys = data | model | OTHER_TOKENIZER | {"run.phase": phase, "run.validate_every": 0,
                                                 "score.input": data["reward.reference"],
                                                 "score.output": bench.work / "no.jsonl"}
        ended = bench.run(DECK, 1, keys | {"run.directory": bench.work / f"bad_{bench.jobs}"})
        bench.check(ended.code == 65 and "another tokenizer" in ended.text and len(ended.errors()) == 1,
                    f"{phase} with another tokenizer: code {ended.code}", ended.text)
    bench.case("a reward model of another tokenizer: code 65")


def main():
    bench = Bench("reward")
    data = ranked.files(bench.work, 50, 20)
    gold = bench.work / "gold"
    ended = bench.run(DECK, 1, data | {"run.directory": gold})
    if bench.check(ended.code == 0 and steps_done(gold) == 10, f"the first run: code {ended.code}", ended.text):
        grids(bench, data, gold)
        restart(bench, data, gold)
        wholes(bench, data)
        equal_scores(bench, data)
        weights_of_others(bench, data)
        bad_input(bench, data, gold)
    bench.finish()


main()
