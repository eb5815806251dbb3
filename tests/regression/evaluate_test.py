#!/usr/bin/env python3
"""Phase evaluate as a user runs it: perplexity, a policy before a judge, win rates by the judge and by files of scores, best of
n, the curve of reward against the root of the divergence. Its numbers follow from the samples that it writes; every grid gives
the same bytes; mistakes are one message with the right code."""
import json
import math

from alignment import CHAT, WORDS, make_models, must, write_lines
from jobs import DECKS, Bench, Grid, metrics

DECK = DECKS / "evaluate.ini"
GOLDEN = DECKS.parents[1] / "golden"
PAIRS = [("2x1x1", "1x2x1"), ("1x1x4", "2x1x2"), ("2x2x1", "1x1x4")]  # of the policy, of the judge


def grid_keys(grid, judge):
    return grid.keys() | {f"reward_{key}": value for key, value in judge.keys().items()} | {
        "reward_grid.tensor_shards": 2, "reward_grid.data_shards": 4}


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def results(run):
    return json.loads((run / "evaluation.json").read_text())


def win_share(ours, theirs):
    return sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in zip(ours, theirs)) / len(ours)


def wilson(share, trials, z=1.959963984540054):
    """E. B. Wilson 1927, the interval of a proportion."""
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    reach = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return centre - reach, centre + reach


def near(a, b, bound=1e-6):
    return abs(a - b) <= bound * max(1, abs(a), abs(b))


def check_rate(bench, what, rate, ours, theirs):
    share = win_share(ours, theirs)
    low, high = wilson(share, len(ours))
    right = rate["trials"] == len(ours) and near(rate["share"], share) and near(rate["interval"][0], low, 1e-4)
    bench.check(right and near(rate["interval"][1], high, 1e-4), f"{what}: {rate}, from the scores {share} ({low} to {high})")


def models(bench):
    """The keys of a deck: a policy that PPO has moved, the model that it began as, the judge, prompts."""
    made = make_models(bench)
    moved = bench.work / "moved"
    must(bench, "ppo", bench.run(DECKS / "ppo.ini", 1, made | {
        "run.directory": moved, "ppo.pretrain_coefficient": 0, "ppo.average_decay": 0.9, "ppo.kl_coefficient": 0,
        "ppo.kl_target": 0, "optimizer.learning_rate": 3e-3}))
    before = made["run.initialize_from"]
    return CHAT | {"run.initialize_from": moved, "evaluate.reference": before, "evaluate.opponent": before,
                   "evaluate.reward_model": made["ppo.reward_model"], "evaluate.prompts": made["ppo.prompts"],
                   "data.validation": bench.work / "held_out.h5", "evaluate.best_of": 16,
                   "evaluate.curve": f"{before}, {moved}"}


def numbers(bench, keys, run, samples):
    """What is reported is what follows from the samples."""
    found, lines = results(run), lines_of(samples)
    bench.check(len(lines) == 36 and lines[0]["prompt"] == f"{WORDS[0]} {WORDS[0]}", f"{len(lines)} samples, one a prompt")
    ours, theirs = ([line[key] for line in lines] for key in ("score", "opponent_score"))
    for who, scores in (("policy", ours), ("opponent", theirs)):
        low, high = found[who]["score_interval"]
        mean = sum(scores) / len(scores)
        bench.check(near(found[who]["score"], mean) and low < mean < high, f"{who}: {found[who]}, the samples' mean is {mean}")
        bench.check(found[who]["responses"] == 36 and 0 < found[who]["response_tokens"] <= 8, f"{who}: {found[who]}")
    check_rate(bench, "win rate by the judge", found["win_rate"], ours, theirs)
    bench.check(0 < found["length_controlled_win_rate"]["share"] < 1, f"{found['length_controlled_win_rate']}")
    text = found["perplexity"]
    bench.check(near(text["perplexity"], math.exp(text["loss"])) and 1 < text["loss"] < math.log(257), f"perplexity {text}")
    bench.check(found["opponent"]["kl"] == 0 and found["policy"]["kl"] > 0, "the opponent is the reference, the policy is not")
    best = found["best_of_n"]
    bench.check([entry["n"] for entry in best] == [1, 4, 16], f"best of n: {best}")
    bench.check(all(near(entry["kl"], math.log(entry["n"]) - (entry["n"] - 1) / entry["n"]) for entry in best), f"{best}")
    bench.check(best[0]["score"] < best[1]["score"] < best[2]["score"], f"more to choose from is better: {best}")
    curve = found["curve"]
    bench.check([point["checkpoint"] for point in curve] == str(keys["evaluate.curve"]).split(", "), f"curve {curve}")
    bench.check(all(near(point["sqrt_kl"] ** 2, point["kl"]) for point in curve), f"curve {curve}")
    for point in best + curve:
        bench.check(point["score_interval"][0] < point["score"] < point["score_interval"][1], f"interval of {point}")
    bench.check(curve[0]["score"] == found["opponent"]["score"] and curve[1]["score"] == found["policy"]["score"],
                "the same responses as before: they depend on the seed, the prompt and the sample alone")
    bench.check(found["policy"]["score"] > found["opponent"]["score"], f"PPO without a penalty pleases the judge: {found}")
    bench.case(f"win rate {found['win_rate']['share']:.3f}, score {found['opponent']['score']:.3f} to "
               f"{found['policy']['score']:.3f} at {found['policy']['kl']:.2f} nats; perplexity {text['perplexity']:.1f}")


def averages(bench, keys, gold):
    """The average of the run that is evaluated, against the weights themselves of the same run."""
    run, policy = bench.work / "average", keys["run.initialize_from"]
    must(bench, "evaluate", bench.run(DECK, 1, keys | grid_keys(Grid("1x1x1"), Grid("1x1x1")) | {
        "run.directory": run, "run.initialize_weights": "average", "evaluate.opponent": policy, "evaluate.best_of": 0,
        "evaluate.curve": policy, "data.validation": ""}))
    found, own = results(run), results(gold)
    bench.check(found["policy"]["kl"] < found["opponent"]["kl"] == own["policy"]["kl"] == found["curve"][0]["kl"],
                f"the average lags behind the model: {found} after {own}")
    bench.case(f"the average at {found['policy']['kl']:.2f} nats, the model at {found['opponent']['kl']:.2f}")


def shown(bench, found, console, page):
    """Every result on the console, in the row of its step and in the table at the end, and on the page with its chart."""
    score = f"score {found['policy']['score']:.4f} ({found['policy']['score_interval'][0]:.4f} to "
    rate = f"{100 * found['win_rate']['share']:.1f} % ({100 * found['win_rate']['interval'][0]:.1f} to "
    for what in (score, rate, f"score {found['best_of_n'][1]['score']:.4f} (", f"sqrt {found['curve'][1]['sqrt_kl']:.3f}"):
        bench.check(console.count(what) >= 2 and what in page, f"'{what}' is not shown", console)
    for what in ("<h2>Results</h2>", "sqrt(KL)", ">checkpoints<", ">policy<", ">opponent<"):
        bench.check(what in page, f"no {what} in report.html")
    bench.check("Last " not in page and page.count("<svg") == 1, "numbers of single steps are drawn as curves")


def grids(bench, keys, gold, samples):
    for mine, other in PAIRS:
        grid, run = Grid(mine), bench.work / f"grid_{mine}"
        output = bench.work / f"samples_{mine}.jsonl"
        ended = bench.run(DECK, grid.ranks, keys | grid_keys(grid, Grid(other)) | {
            "run.directory": run, "evaluate.output": output})
        if not bench.check(ended.code == 0, f"{mine}: code {ended.code}", ended.text):
            continue
        bench.check(output.read_bytes() == samples.read_bytes(), f"samples on {mine}")
        bench.check(metrics(run) == metrics(gold), f"metrics.jsonl on {mine}")
        bench.check(results(run) == results(gold), f"evaluation.json on {mine}")
        bench.case(f"policy on {mine}, judge on {other}: the bytes of one rank")


def score_files(bench, keys, gold):
    """Responses of `generate` with scores of any judge; here of a ruler that likes the letter a."""
    paths = {}
    for name, model in (("ours", keys["run.initialize_from"]), ("theirs", keys["evaluate.opponent"])):
        output = bench.work / f"{name}.jsonl"
        must(bench, "generate", bench.run(DECK, 1, CHAT | {
            "run.phase": "generate", "run.directory": bench.work / f"generate_{name}", "run.initialize_from": model,
            "generate.prompts": keys["evaluate.prompts"], "generate.output": output}))
        lines = lines_of(output)
        paths[name] = write_lines(output, (line | {"score": line["response"].count("a")} for line in lines))
    run = bench.work / "files"
    files = {"evaluate.scores": paths["ours"], "evaluate.opponent_scores": paths["theirs"]}
    ended = bench.run(DECK, 2, files | {"run.directory": run, "grid.pipeline": 2})
    if bench.check(ended.code == 0, f"files of scores, no model: code {ended.code}", ended.text):
        ours, theirs = ([line["score"] for line in lines_of(paths[name])] for name in ("ours", "theirs"))
        found = results(run)["files"]
        check_rate(bench, "win rate by files", found["win_rate"], ours, theirs)
        bench.check(near(found["score"], sum(ours) / len(ours)), f"mean score {found}")
        bench.case(f"files of scores: win rate {found['win_rate']['share']:.3f}")
    bare = bench.work / "bare.ini"
    bare.write_text("[run]\nphase = evaluate\n")
    ended = bench.run(bare, 1, files | {"run.directory": bench.work / "bare"})
    bench.check(ended.code == 0 and results(bench.work / "bare")["files"] == results(run)["files"],
                f"a deck without a model: code {ended.code}", ended.text)
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    path = write_lines(bench.work / "talk.jsonl", [{"prompt": talk, "response": "d", "score": 1}])
    ended = bench.run(DECK, 1, {"run.directory": bench.work / "talk", "evaluate.scores": path,
                                "evaluate.opponent_scores": path})
    bench.check(ended.code == 0 and results(bench.work / "talk")["files"]["win_rate"]["share"] == 0.5,
                f"prompts of several turns, all ties: code {ended.code}", ended.text)
    other_prompts(bench, paths)
    return files


def other_prompts(bench, paths):
    """The other side's lines turned round, without the first ten prompts and with one that nobody else has: compared are the
    common ones, on every grid alike."""
    ours, theirs = lines_of(paths["ours"]), lines_of(paths["theirs"])
    path = write_lines(bench.work / "turned.jsonl", [theirs[0] | {"prompt": "nobody's"}] + theirs[:9:-1])
    for pipeline in (1, 2):
        run = bench.work / f"turned_{pipeline}"
        ended = bench.run(DECK, pipeline, {"evaluate.scores": paths["ours"], "evaluate.opponent_scores": path,
                                           "run.directory": run, "grid.pipeline": pipeline})
        if not bench.check(ended.code == 0, f"other prompts: code {ended.code}", ended.text):
            return
        found = results(run)["files"]
        bench.check(found == results(bench.work / "turned_1")["files"], f"another grid: {found}")
        check_rate(bench, "the common prompts", found["win_rate"],
                   *([line["score"] for line in side[10:]] for side in (ours, theirs)))
        bench.check((found["left_out"], found["opponent_left_out"]) == (10, 1), f"left out: {found}")
        for words in ("10 responses of [evaluate] scores have no counterpart", f"{paths['ours']}:1,",
                      "1 responses of [evaluate] opponent_scores", f"{path}:1"):
            bench.check(ended.text.count(words) == 1, f"'{words}' is not said once", ended.text)
        bench.case(f"other prompts: {found['win_rate']['trials']} compared")


def mistakes(bench, keys, files):
    work = bench.work
    alone = keys | {"evaluate.best_of": 0, "evaluate.curve": "", "data.validation": "", "evaluate.opponent": ""}

    def expect(what, code, words, given, base=None, ranks=2):
        ended = bench.run(DECK, ranks, (alone if base is None else base) | {"run.directory": work / f"mistake_{bench.jobs}"}
                          | given)
        bench.check(ended.code == code and len(ended.errors()) == 1, f"{what}: code {ended.code}, not {code}", ended.text)
        for word in words:
            bench.check(word in ended.text, f"{what}: the message lacks '{word}'", ended.text)
        message = next((line for line in ended.text.splitlines() if line.startswith("coxswain: ")), "")
        bench.case(f"{code} {what}: {message[10:130]}")

    def lines(name, records):
        return write_lines(work / name, records)

    policy = keys["run.initialize_from"]
    expect("nothing to do", 64, ["[evaluate] prompts"], {"evaluate.prompts": ""})
    expect("no model", 64, ["[run] initialize_from"], {"run.initialize_from": ""})
    expect("best of n without a judge", 64, ["[evaluate] reward_model"], {"evaluate.reward_model": "", "evaluate.best_of": 4})
    expect("a curve without a reference", 64, ["reference"], {"evaluate.reference": "", "evaluate.curve": policy})
    expect("scores of one side", 64, ["[evaluate] opponent_scores"], {"evaluate.scores": files["evaluate.scores"]})
    expect("responses that leave no room", 64, ["max_new_tokens = 32"], {"generate.max_new_tokens": 32})
    expect("a missing judge", 65, ["nowhere"], {"evaluate.reward_model": work / "nowhere"})
    expect("a language model for a judge", 65, ["is a language model"], {"evaluate.reward_model": policy})
    expect("a reward model for an opponent", 65, ["[evaluate] opponent", "is a reward model"],
           {"evaluate.opponent": keys["evaluate.reward_model"]})
    expect("a policy of another shape", 65, [str(policy), "its shape is"], {"model.hidden": 64, "evaluate.reference": ""})
    expect("a judge of another tokenizer", 65, ["257 tokens", "857", "the same tokenizer"], {
        "data.tokenizer": "gpt2", "data.vocabulary_file": GOLDEN / "gpt2_small_vocabulary.json",
        "data.merges_file": GOLDEN / "gpt2_small_merges.txt", "model.vocabulary": 857})
    expect("missing prompts", 65, ["none.jsonl"], {"evaluate.prompts": work / "none.jsonl"})
    expect("prompts that are all too long", 65, ["no usable prompts", "more than 24 tokens"],
           {"evaluate.prompts": lines("long.jsonl", [{"prompt": "x" * 40}])})
    expect("prompts that are all empty", 65, ["no usable prompts", "empty prompt"],
           {"evaluate.prompts": lines("empty.jsonl", [{"prompt": " "}])})
    good = {"prompt": "a", "response": "b", "score": 1}
    pair = {"evaluate.scores": lines("good.jsonl", [good, good])}
    for what, records, words in (
            ("other prompts", [good | {"prompt": "c"}], ["no prompt of", "\"a\" (", "good.jsonl:1", "\"c\" (", "bad.jsonl:1"]),
            ("a score that is missing", [good, {"prompt": "a"}], ["bad.jsonl:2", "\"score\""]),
            ("scores that are words", [good, good | {"score": "good"}], ["bad.jsonl:2", "\"score\""]),
            ("scores that are not numbers", [good, good | {"score": math.nan}], ["bad.jsonl:2", "no JSON"])):
        expect(f"files of scores: {what}", 65, words, pair | {"evaluate.opponent_scores": lines("bad.jsonl", records)}, base={})
    broken = work / "broken"
    bench.run(DECKS / "reward.ini", 1, CHAT | {  # ends with 76, and the checkpoint of step 1 stays
        "run.directory": broken, "run.steps": 2, "checkpoint.every": 1, "run.validate_every": 0, "reward.normalise": "none",
        "reward.responses": 4, "reward.comparisons": work / "comparisons.jsonl", "optimizer.learning_rate": 1e30})
    expect("a broken judge", 76, ["the score is", str(broken)], {"evaluate.reward_model": broken})


def main():
    bench = Bench("evaluate")
    keys = models(bench)
    gold, samples = bench.work / "gold", bench.work / "samples.jsonl"
    ended = bench.run(DECK, 1, keys | grid_keys(Grid("1x1x1"), Grid("1x1x1")) | {
        "run.directory": gold, "evaluate.output": samples})
    if bench.check(ended.code == 0, f"one rank: code {ended.code}", ended.text):
        numbers(bench, keys, gold, samples)
        averages(bench, keys, gold)
        shown(bench, results(gold), ended.text, (gold / "report.html").read_text())
        grids(bench, keys, gold, samples)
        mistakes(bench, keys, score_files(bench, keys, gold))
    bench.finish()


main()
