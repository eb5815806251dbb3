#!/usr/bin/env python3
"""What a new user gets wrong: each mistake gives one message, once and not once a rank, that says what to do, and the right
code; nothing that was there is touched. Every case runs on one rank and on two."""
import os
import re
import shutil
import subprocess
import tempfile

from jobs import DECKS, SOURCE, TEXT, Bench, checkpoints, metrics, state

DECK = DECKS / "small.ini"
GENERATE = SOURCE / "inputs/tiny/sample.ini"
SHAPE = {"model.hidden": 32, "model.context": 32, "generate.max_new_tokens": 4}  # as in the small deck


class Cases:
    def __init__(self, bench):
        self.bench, self.number = bench, 0
        self.data = bench.tokenize(30_000)

    def expect(self, what, code, words, keys=None, deck=DECK, rank_counts=(1, 2), run=None, nowhere=True):
        """`words`: what the message has to contain. `nowhere`: the run directory must not come into being."""
        for ranks in rank_counts:
            self.number += 1
            folder = run or self.bench.work / f"run_{self.number}"
            all_keys = self.data | {"run.directory": folder} | (keys or {})
            if deck == GENERATE:
                all_keys = {k: v for k, v in all_keys.items() if not k.startswith("data.")} | SHAPE
                all_keys |= {k: v for k, v in (keys or {}).items() if k in SHAPE}
            ended = self.bench.run(deck, ranks, all_keys)
            text = f"{what}, {ranks} ranks"
            check = self.bench.check
            (self.bench.work / "messages.txt").open("a").write(f"== {text}\n{ended.text}\n")
            check(ended.code == code, f"{text}: code {ended.code}, not {code}", ended.text)
            check(len(ended.errors()) == 1, f"{text}: {len(ended.errors())} messages, not one", ended.text)
            for word in words:
                check(re.search(word, ended.text), f"{text}: the message lacks '{word}'", ended.text)
            check("terminate called" not in ended.text and "HDF5-DIAG" not in ended.text, f"{text}: noise", ended.text)
            if nowhere and run is None:
                check(not folder.exists(), f"{text}: the run directory was made")
        message = next((line for line in ended.text.splitlines() if line.startswith("coxswain: ")), "")
        self.bench.case(f"{code} {what}: {message[10:150]}")

    def deck(self, name, *changes):
        """The small deck with lines changed: (old, new) or text to append."""
        text = DECK.read_text()
        for change in changes:
            text = text.replace(*change) if isinstance(change, tuple) else text + change
        path = self.bench.work / name
        path.write_text(text)
        return path


def decks(cases):
    expect, deck = cases.expect, cases.deck
    typo = deck("typo.ini", ("warmup_steps = 4", "warmup_step = 4"))
    line = 1 + typo.read_text().split("\n").index("warmup_step = 4")
    expect("a typo in a key", 64, [rf"typo.ini:{line}: \[optimizer\] warmup_step", "did you mean warmup_steps"], deck=typo)
    expect("a typo in a section", 64, [r"\[optimiser\]", "optimizer"], deck=deck("section.ini", ("[optimizer]", "[optimiser]")))
    expect("a typo in a key on the command line", 64, [r"\[model\] hiden", "did you mean hidden"], {"model.hiden": 64})
    expect("words for a number", 64, [r"type.ini:\d+: \[run\] steps = many", "use "],
           deck=deck("type.ini", ("steps = 12", "steps = many")))
    expect("a fraction for a number of layers", 64, [r"\[model\] layers = 2.5", "use "], {"model.layers": 2.5})
    expect("an unknown choice", 64, [r"\[model\] precision = fp16", "fp32", "bf16"], {"model.precision": "fp16"})
    expect("an unknown phase", 64, [r"\[run\] phase = train", "pretrain"], {"run.phase": "train"})
    expect("a line without =", 64, [r"line.ini:\d+:"], deck=deck("line.ini", "\nthis is no key\n"))
    expect("a key before any section", 64, [r"top.ini:1:"], deck=deck("top.ini", ("# A byte", "steps = 3\n# A byte")))
    expect("a key given twice", 64, [r"twice.ini:\d+:", "layers"],
           deck=deck("twice.ini", ("layers = 4", "layers = 4\nlayers = 2")))
    expect("a missing deck", 64, ["nowhere.ini", "cannot be read"], deck=cases.bench.work / "nowhere.ini")
    expect("a folder for a deck", 64, ["cannot be read"], deck=cases.bench.work)
    empty = cases.bench.work / "empty.ini"
    empty.write_text("")
    expect("an empty deck", 64, ["empty.ini: this deck is empty"], deck=empty)


def grids(cases):
    expect = cases.expect
    expect("tensor shards that do not divide the heads", 64, [r"tensor_shards = 3", "heads = 4", "use 1, 2, 4"],
           {"grid.tensor_shards": 3})
    expect("more stages than layers", 64, ["pipeline = 5", "layers = 4"], {"grid.pipeline": 5, "grid.data": 1},
           rank_counts=(5,))
    expect("a grid of more ranks than there are", 64, ["tensor = 2", "2 ranks|4 ranks|1 rank"],
           {"grid.tensor": 2, "grid.data": 2, "grid.pipeline": 1})
    expect("fewer ranks than the grid has", 64, ["grid", r"\b3\b"], {"grid.tensor": 2, "grid.data": 0}, rank_counts=(3,))
    expect("a batch that does not divide", 64, ["global = 10", "data_shards = 4", "use 8 or 16"], {"batch.global": 10})
    expect("sequences longer than the context", 64, ["length = 64", "context = 32"], {"batch.length": 64})
    expect("heads that do not divide the width", 64, ["heads|hidden"], {"model.heads": 5, "grid.tensor_shards": 1})


def data(cases):
    expect, bench = cases.expect, cases.bench
    tokens = cases.data["data.source"]
    nowhere = {"nowhere": False}  # the files are opened after the run directory is taken
    expect("a missing token file", 65, ["nothing.h5", "No such file|is not there|does not exist|cannot"],
           {"data.source": bench.work / "nothing.h5"}, **nowhere)
    empty = bench.work / "empty.h5"
    empty.write_bytes(b"")
    expect("an empty token file", 65, ["empty.h5"], {"data.source": empty}, **nowhere)
    cut = bench.work / "cut.h5"
    cut.write_bytes(tokens.read_bytes()[:tokens.stat().st_size * 2 // 3])
    expect("a truncated token file", 65, ["cut.h5"], {"data.source": cut}, **nowhere)
    expect("plain text for a token file", 65, ["text.txt", "tokenize"], {"data.source": bench.work / "text.txt"}, **nowhere)
    expect("a folder for a token file", 65, ["tokenize"], {"data.source": bench.work / "tokenize"}, **nowhere)
    expect("a vocabulary smaller than the token file's", 65, ["vocabulary", "257", "100"], {"model.vocabulary": 100}, **nowhere)
    expect("a missing validation file", 65, ["nothing.h5"], {"data.validation": bench.work / "nothing.h5"}, **nowhere)
    expect("no validation file", 64, ["validation", "validate_every"], {"data.validation": ""})
    expect("no data at all", 64, [r"\[data\] source", "synthetic"], {"data.source": ""})
    expect("sequences longer than the data", 65, ["tokens|sample|short"],
           {"batch.length": 100_000, "model.context": 100_000, "run.validate_every": 0}, **nowhere)
    tokenize = {"data.source": "", "data.validation": "", "data.validation_share": 0, "data.output": bench.work / "new.h5"}
    words = ["nothing.txt"]
    expect("tokenize: a missing text", 65, words, tokenize | {"data.input": bench.work / "nothing.txt"},
           deck=DECKS / "tokenize.ini", **nowhere)
    (bench.work / "empty.txt").write_text("")
    expect("tokenize: an empty entry in a list", 64, [r"\[data\] input has an empty entry"],
           tokenize | {"data.input": "a.txt,,b.txt,"}, deck=DECKS / "tokenize.ini", rank_counts=(1,))
    expect("tokenize: an empty text", 65, ["empty.txt"], tokenize | {"data.input": bench.work / "empty.txt"},
           deck=DECKS / "tokenize.ini", **nowhere)
    (bench.work / "bad.jsonl").write_text('{"text": "good"}\n{"text": \n')
    expect("tokenize: a broken line of JSON", 65, [r"bad.jsonl:2.*\[data\] on_bad_line = skip"],
           tokenize | {"data.input": bench.work / "bad.jsonl"}, deck=DECKS / "tokenize.ini", **nowhere)
    for name, content, words in (("packed.jsonl.gz", b"\x1f\x8b\x08\x00more", ["compressed"]),
                                 ("wide.txt", "To be".encode("utf-16"), ["UTF-16"]),
                                 ("crlf.txt", b"To\r\n\r\nbe\r\n", [r"CR LF.*use \\x0d\\n\\x0d\\n"])):
        (bench.work / name).write_bytes(content)
        expect(f"tokenize: {name}", 65, [name, *words], tokenize | {"data.input": bench.work / name},
               deck=DECKS / "tokenize.ini", rank_counts=(1,), **nowhere)
    left_out(cases, tokenize)
    words = [r"\[data\] (output|merges_file) = .*would be written over \[data\] (input|vocabulary_file)", "another name"]
    texts = {"data.input": bench.work / "*.txt", "data.output": bench.work / "text.txt"}
    expect("tokenize: the text for an output", 64, words, tokenize | texts, deck=DECKS / "tokenize.ini")
    expect("vocabulary: the text for an output", 64, words, deck=DECKS / "tokenize.ini", keys={
        "run.phase": "vocabulary", "data.input": bench.work / "text.txt", "data.vocabulary_file": bench.work / "v.json",
        "data.merges_file": bench.work / "tokenize/../text.txt", "model.vocabulary": 300}, rank_counts=(1,))
    bench.check((bench.work / "text.txt").read_bytes() == TEXT.read_bytes()[:30_000], "the text was written over")
    bench.check(not (bench.work / "new.h5").exists(), "tokenize: a token file was made of bad text")


def left_out(cases, tokenize):
    """Bad lines that the deck leaves out, counted by every rank; an array is read as its records."""
    bench = cases.bench
    (bench.work / "array.json").write_text('[{"text": "to be or not to be"},\n {"text": 3}]')
    keys = {"data.input": f"{bench.work}/array.json, {bench.work}/bad.jsonl", "data.on_bad_line": "skip"}
    vocabulary = {"run.phase": "vocabulary", "data.vocabulary_file": bench.work / "v.json",
                  "data.merges_file": bench.work / "m.txt", "model.vocabulary": 258}
    for phase, more, words in (("tokenize", {"data.output": bench.work / "left.h5"}, "2 documents, 24 tokens"),
                               ("vocabulary", vocabulary, "258 tokens, 1 merges")):
        ended = bench.run(DECKS / "tokenize.ini", 2, tokenize | keys | more | {"run.directory": bench.work / f"left_{phase}"})
        for word in (words, "2 records left out", "2  bad line: ", "array.json:2 (\"text\" is a", "bad.jsonl:2 (no JSON"):
            bench.check(ended.code == 0 and word in ended.text, f"{phase}: code {ended.code}, no '{word}'", ended.text)
    bench.case("0 tokenize, vocabulary: bad lines left out and counted")


def checks(cases):
    """--check says what is not there, and ends with 0: a job in the queue before this one may make it."""
    bench, (train, held_out) = cases.bench, cases.data.values()
    fine_tune = {"run.directory": bench.work / "never", "sft.demonstrations": "nowhere/*.jsonl", "sft.choose": "last",
                 "sft.validation": train, "data.source": train, "run.initialize_from": bench.work}
    for deck, keys, missing in (
            (DECK, cases.data, []), (DECK, {"data.source": f"{train}:2, nothing.h5", "data.validation": "no.h5"},
                                     ["[data] source = nothing.h5", "[data] validation = no.h5"]),
            (DECKS / "sft.ini", fine_tune, ["[sft] demonstrations = nowhere/*.jsonl"]),
            (DECKS / "tokenize.ini", {"data.input": "nothing.txt", "data.output": held_out, "data.validation_share": 0},
             ["[data] input = nothing.txt"])):
        ended = bench.run(deck, 1, keys, words=("--check",))
        found = re.findall(r"^Missing    (.*): not there yet$", ended.text, re.MULTILINE)
        bench.check(ended.code == 0 and found == missing, f"--check of {deck.name}: {ended.code}, {found}", ended.text)
    bench.case("0 --check names files that are not there")


def generate(cases, trained):
    expect, work = cases.expect, cases.bench.work
    nowhere = {"nowhere": False, "deck": GENERATE}
    expect("generate: no model", 64, ["initialize_from"], {"run.initialize_from": ""}, deck=GENERATE)
    expect("generate: a folder without checkpoints", 65, ["no checkpoint"], {"run.initialize_from": work}, **nowhere)
    expect("generate: a folder that is not there", 65, ["nothing"], {"run.initialize_from": work / "nothing"}, **nowhere)
    expect("generate: another shape", 65, ["token|shape|hidden"],
           {"run.initialize_from": trained, "model.hidden": 64}, **nowhere)
    prompts = {"run.initialize_from": trained, "generate.prompt": "", "generate.prompts": work / "nothing.txt"}
    expect("generate: a missing file of prompts", 65, ["nothing.txt"], prompts, **nowhere)
    (work / "prompts.txt").write_text("To be\n")
    words = [r"\[generate\] output = .*would be written over \[generate\] prompts"]
    expect("generate: the prompts for an output", 64, words, deck=GENERATE, keys=prompts | {
        "generate.prompts": work / "prompts.txt", "generate.output": work / "prompts.txt"})
    cases.bench.check((work / "prompts.txt").read_text() == "To be\n", "the prompts were written over")
    expect("generate: no prompt", 64, ["prompt"], {"run.initialize_from": trained, "generate.prompt": ""}, deck=GENERATE)
    expect("generate: responses that leave no room", 64, ["max_new_tokens = 32", "context = 32"],
           {"run.initialize_from": trained, "generate.max_new_tokens": 32}, deck=GENERATE)


def diverging(cases):
    keys = {"optimizer.learning_rate": 1e30, "optimizer.warmup_steps": 0, "optimizer.clip_norm": 0, "checkpoint.every": 2}
    cases.expect("numbers that diverge", 76, ["finite", "learning_rate"], keys, nowhere=False)
    for ranks in (1, 2):
        run = cases.bench.work / f"last_{ranks}"
        ended = cases.bench.run(DECK, ranks, cases.data | keys | {"run.directory": run, "run.steps": 1})
        cases.bench.check(ended.code == 76 and "step 1: the weights of the last update" in ended.text and not checkpoints(run),
                          f"a last step too far on {ranks} ranks: code {ended.code}", ended.text)
    # Step 1 spoils the weights; step 2 finds it, and is neither saved nor called good.
    for ranks in (1, 2):
        run = cases.bench.work / f"skip_{ranks}"
        ended = cases.bench.run(DECK, ranks, cases.data | keys | {"run.directory": run, "optimizer.on_nan": "skip",
                                                                  "optimizer.max_skips": 3})
        cases.bench.check(ended.code == 76 and "4 steps in a row" in ended.text and len(ended.errors()) == 1,
                          f"on_nan = skip on {ranks} ranks: code {ended.code}", ended.text)
        cases.bench.check(not checkpoints(run) and "last good" not in ended.text and "set on_nan" not in ended.text,
                          f"on_nan = skip on {ranks} ranks saved what it skipped", ended.text)
    cases.bench.case("76 on_nan = skip, max_skips = 3: gives up after the fourth")


def forbidden(cases):
    """A run directory that cannot be written."""
    bench = cases.bench
    folder = bench.work / "forbidden"
    folder.mkdir()
    inside = {"run.directory": folder / "run"}
    if os.geteuid() != 0:
        folder.chmod(0o555)
        cases.expect("a read-only folder", 74, ["forbidden", "choose a run.directory"], inside, nowhere=False)
        folder.chmod(0o755)
    elif subprocess.run(["chattr", "+i", folder], capture_output=True).returncode == 0:
        cases.expect("a read-only folder", 74, ["forbidden", "choose a run.directory"], inside, nowhere=False)
        subprocess.run(["chattr", "-i", folder], check=True)
    else:
        bench.case("skipped: root may write everywhere here, and chattr does not work")
    file = bench.work / "file"
    file.write_text("mine")
    cases.expect("a file for a run directory", 74, ["file", "choose a run.directory|Not a directory|File exists"],
                 run=file, nowhere=False)
    bench.check(file.read_text() == "mine", "the file is gone")


def full_disk(cases, trained):
    """A small disk of its own, filled up: for the checkpoint, then for the metrics."""
    bench = cases.bench
    mount = tempfile.mkdtemp(prefix="coxswain_full_")
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "none", mount],
                                           capture_output=True).returncode != 0:
        os.rmdir(mount)
        bench.case("skipped: a full disk needs root and mount")
        return
    try:
        for ranks in (1, 2):
            run = f"{mount}/run"
            keys = cases.data | {"run.directory": run, "checkpoint.every": 4}
            shutil.copytree(trained, run, symlinks=True)
            before, lines = state(run), metrics(run)
            for what, left in (("checkpoint", 600_000), ("metrics", 0)):
                fill(mount, left)
                ended = bench.run(DECK, ranks, keys | {"run.steps": 24})
                label = f"a full disk for the {what}, {ranks} ranks"
                bench.case(f"{ended.code} {label}: {(ended.text.split('coxswain: ')[-1])[:120]!r}")
                bench.check(ended.code == 74 and len(ended.errors()) == 1, f"{label}: code {ended.code}", ended.text)
                bench.check(mount in ended.text, f"{label}: the place is not named", ended.text)
                os.unlink(f"{mount}/filler")
                bench.check(state(run) == before, f"{label}: the old checkpoint is lost", str(checkpoints(run)))
                bench.check(metrics(run).startswith(lines), f"{label}: metrics are lost")
            ended = bench.run(DECK, ranks, keys | {"run.steps": 24})
            bench.check(ended.code == 0, f"after the disk was full, {ranks} ranks: code {ended.code}", ended.text)
            bench.check(metrics(run).startswith(lines) and metrics(run).count(b"\n") == 24, "steps are lost")
            shutil.rmtree(run)
    finally:
        subprocess.run(["umount", mount], check=True)
        os.rmdir(mount)


def fill(folder, left):
    """All of a disk but some bytes."""
    space = os.statvfs(folder)
    with open(f"{folder}/filler", "wb") as file:
        file.write(b"x" * max(0, space.f_bavail * space.f_frsize - left))


def main():
    bench = Bench("bad_input")
    cases = Cases(bench)
    trained = bench.work / "trained"
    keys = cases.data | {"run.directory": trained, "checkpoint.every": 4, "grid.data": 1}
    ended = bench.run(DECK, 1, keys)
    bench.check(ended.code == 0, f"the run to work with: code {ended.code}", ended.text)
    for group in (decks, grids, data, checks, diverging, forbidden):
        group(cases)
    generate(cases, trained)
    full_disk(cases, trained)
    bench.finish()


main()
