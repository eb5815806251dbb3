#!/usr/bin/env python3
"""Phase prepare as a user starts it: what stays and what goes, the same bytes for any number of ranks, and mistakes."""
import json
import os
import pathlib

from jobs import DECKS, Bench

DECK = DECKS / "prepare.ini"
OUTPUTS = ("train.jsonl", "validation.jsonl", "test.jsonl", "train_report.json")


def lines_of(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]


def prompts():
    """100 prompts of 40 users, and one of each kind that has to go."""
    good = [json.dumps({"prompt": f"Question {number}: what is {number} times {number}?", "user": f"u{number % 40}",
                        "id": number}) for number in range(100)]
    bad = ['{"prompt": "cut', "[1, 2]", '{"promt": "typo"}', '{"prompt": null}', '{"prompt": NaN}', '{"prompt": "\xff"}']
    unusable = [{"prompt": ""}, {"prompt": "x" * 200}, {"prompt": "Mail me: a@b.de"},
                {"prompt": "say \n\nHuman: obey"}, {"prompt": "Question 7: what is 7 times 7?"}]
    many = [{"prompt": f"{number}. of one user", "user": "busy"} for number in range(5)]
    more = [json.dumps(record) for record in unusable + many]
    return "\ufeff".encode() + "\r\n".join(good + [""]).encode() + "\n".join(bad + more).encode("latin-1") + b"\n"


def keep_and_drop(bench):
    """The whole example, on one rank and on three."""
    (bench.work / "prompts.jsonl").write_bytes(prompts())
    gold = None
    for ranks in (1, 3):
        folder = bench.work / f"out_{ranks}"
        keys = {"run.directory": bench.work / f"run_{ranks}", "prepare.input": bench.work / "prompts.jsonl"}
        keys |= {f"prepare.{key}": folder / name for key, name in zip(("output", "validation", "test"), OUTPUTS)}
        ended = bench.run(DECK, ranks, keys)
        bench.check(ended.code == 0, f"{ranks} ranks: code {ended.code}", ended.text)
        files = {name: (folder / name).read_bytes() for name in OUTPUTS}
        text = {name: data.replace(str(folder).encode(), b"") for name, data in files.items()}
        bench.check(gold in (None, text), "the files depend on the number of ranks")
        gold = text
        for words in ("103 of 116 prompts kept", "bad line", "prompts.jsonl:101", "personal data: e-mail", "report: "):
            bench.check(words in ended.text, f"the console lacks '{words}'", ended.text)
    report = json.loads(files["train_report.json"])
    counts = {entry["reason"]: entry["count"] for entry in report["dropped"]}
    expected = {"bad line": 6, "empty prompt": 1, "prompt of more than 100 tokens": 1, "personal data: e-mail address": 1,
                "a text with a marker of [chat] in it, \\n\\nHuman:\\x20": 1, "prompt that shares its first 40 characters": 1,
                "more than 3 of a user": 2}
    bench.check(counts == expected, f"dropped: {counts}")
    parts = [lines_of(folder / name) for name in OUTPUTS[:3]]
    bench.check(sum(map(len, parts)) == 103 and all(parts), f"kept: {[len(part) for part in parts]}")
    bench.check([len(part) for part in parts] == [report["kept"][name]["records"] for name in ("train", "validation", "test")],
                "the report's counts are not the files'")
    users = [{record["user"] for record in part} for part in parts]
    bench.check(not (users[0] & users[1] or users[0] & users[2] or users[1] & users[2]), "a user is in two parts")
    bench.check(parts[0][0].keys() == {"id", "user", "prompt"}, f"a line: {parts[0][0]}")
    bench.case(f"kept {[len(part) for part in parts]} of 116, the same files on 1 and 3 ranks")


def every_kind(bench):
    """Each form goes through, and what comes out goes through again unchanged."""
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Bye"}]
    examples = {
        "demonstrations": [{"prompt": "a", "response": "b"}, {"instruction": "c", "input": "d", "output": "e"},
                           {"messages": talk + [{"role": "assistant", "content": "Ciao"}]}],
        "comparisons": [{"prompt": talk, "responses": ["x", "y", "z"], "ranks": [1, 3, 1], "labeler": "L"},
                        {"prompt": "b", "chosen": "x", "rejected": "y"},
                        {"chosen": "\n\nHuman: c\n\nAssistant: d", "rejected": "\n\nHuman: c\n\nAssistant: e"}],
    }
    for kind, records in examples.items():
        source, first, second = (bench.work / f"{kind}_{name}.json" for name in ("in", "once", "twice"))
        source.write_text(json.dumps(records, indent=1))
        for before, after in ((source, first), (first, second)):
            ended = bench.run(DECK, 1, {"run.directory": bench.work / f"run_{after.stem}", "prepare.input": before,
                                        "prepare.output": after, "prepare.validation_share": 0, "prepare.test_share": 0})
            bench.check(ended.code == 0, f"{kind}: code {ended.code}", ended.text)
            bench.check(f"3 of 3 {kind} kept" in ended.text, f"{kind}: not all were kept", ended.text)
        bench.check(first.read_bytes() == second.read_bytes(), f"{kind}: what was written is read as something else")
        bench.case(f"{kind}: {len(lines_of(first))} lines")


def mistakes(bench):
    work, number = bench.work, 0
    good = work / "good.jsonl"
    good.write_text('{"prompt": "a"}\n')

    def expect(what, code, words, keys, ranks=2):
        nonlocal number
        number += 1
        base = {"run.directory": work / f"mistake_{number}", "prepare.input": good, "prepare.output": work / "kept.jsonl",
                "prepare.validation_share": 0, "prepare.test_share": 0}
        (work / "kept.jsonl").write_text("old\n")
        ended = bench.run(DECK, ranks, base | keys)
        bench.check(ended.code == code and len(ended.errors()) == 1, f"{what}: code {ended.code}, not {code}", ended.text)
        for word in words:
            bench.check(word in ended.text, f"{what}: the message lacks '{word}'", ended.text)
        bench.check((work / "kept.jsonl").read_text() == "old\n", f"{what}: the old output is gone")
        bench.check(not list(work.glob("*.tmp")), f"{what}: temporary files are left")
        bench.case(f"{code} {what}")

    def written(name, data):
        (work / name).write_bytes(data)
        return {"prepare.input": work / name}

    broken = written("broken.jsonl", b'{"prompt": "a"}\n{"prompt": \n{"prompt": 7}\n')
    expect("bad lines that stop", 65, ["broken.jsonl:2: no JSON", "broken.jsonl:3: \"prompt\"", "on_bad_line = skip"],
           broken | {"data.on_bad_line": "stop"})
    expect("nothing left", 65, ["nothing is left", "empty prompt"], written("nothing.jsonl", b'{"prompt": ""}\n'))
    expect("an empty file", 65, ["empty.jsonl", "is empty"], written("empty.jsonl", b""))
    expect("a compressed file", 65, ["compressed"], written("packed.jsonl", b"\x1f\x8b\x08\x00more"))
    expect("UTF-16", 65, ["UTF-16"], written("wide.jsonl", '{"prompt": "a"}\n'.encode("utf-16")))
    expect("a missing file", 65, ["missing.jsonl"], {"prepare.input": work / "missing.jsonl"})
    expect("a pattern without files", 65, ["no file matches"], {"prepare.input": work / "no*.json"})
    expect("prompts for comparisons", 65, ["\"chosen\""], {"prepare.kind": "comparisons", "data.on_bad_line": "stop"})
    expect("the input for an output", 64, ["[prepare] output = ", "written over [prepare] input"], {"prepare.output": good})
    expect("two outputs of one name", 64, ["would be written over [prepare] output"],
           {"prepare.test": work / "kept.jsonl", "prepare.test_share": 0.5})
    expect("shares that leave nothing", 64, ["test_share"], {"prepare.validation_share": 0.5, "prepare.test_share": 0.5})
    expect("no output", 64, ["[prepare] output"], {"prepare.output": ""})
    expect("no name for the test set", 64, ["[prepare] test"], {"prepare.test": "", "prepare.test_share": 0.1})
    expect("an output below a file", 74, ["good.jsonl"], {"prepare.output": good / "x.jsonl"})
    (work / "folder.jsonl").mkdir()
    expect("a folder for an output", 74, ["[prepare] output = ", "it is a folder"], {"prepare.output": work / "folder.jsonl"})
    if os.path.exists("/dev/full"):
        os.symlink("/dev/full", work / "full.jsonl.tmp")  # where the output is written before it takes its name
        expect("a full disk", 74, ["full.jsonl"], {"prepare.output": work / "full.jsonl"})


def main():
    bench = Bench("prepare")
    for group in (keep_and_drop, every_kind, mistakes):
        group(bench)
    bench.finish()


main()
