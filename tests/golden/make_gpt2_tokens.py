#!/usr/bin/env python3
"""Golden token ids of GPT-2's byte-level BPE, by Hugging Face's implementation.

    make_gpt2_tokens.py                  trains 600 merges on inputs/tiny/shakespeare.txt and writes, beside this script,
                                         gpt2_small_vocabulary.json, gpt2_small_merges.txt, gpt2_small_tokens.json
    make_gpt2_tokens.py VOCAB MERGES OUT the ids of the same texts, and of every code point, by published files

Needs: pip install transformers tokenizers.
"""
import json
import pathlib
import random
import sys
import tempfile

from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2Tokenizer

HERE = pathlib.Path(__file__).resolve().parent
SHAKESPEARE = HERE.parent.parent / "inputs" / "tiny" / "shakespeare.txt"
END = "<|endoftext|>"

TEXTS = [
    "",
    " ",
    "Hello, world!",
    "  two spaces  and   three ",
    "line\nline\n\nblank line\n\n\n   indented\n\ttab\t\t two tabs \r\nwindows\r\n",
    "I'm you're he's we've she'll they'd can't 'tis O'er I'M YOU'RE 'S 's'll",
    "1234567890 3.14159 1,000,000 0x1f 12th \u0663\u0664 \u00bd \u2167 \u00b2",
    "caf\u00e9 na\u00efve \u00fcber \u0141\u00f3d\u017a Stra\u00dfe cafe\u0301",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5",
    "\u65e5\u672c\u8a9e\u306e\u6587\u7ae0\u3002\u3000\u5168\u89d2\u3000\u3000\u7a7a\u767d \ud55c\uad6d\uc5b4 \u4e2d\u6587",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 "
    "\u05e9\u05dc\u05d5\u05dd \u0928\u092e\u0938\u094d\u0924\u0947",
    "\U0001f600\U0001f680 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1eb\U0001f1f7 \u2764\ufe0f",
    "no\u00a0break \u2003em\u2009thin\u202fnarrow\u205fmath\u1680ogham\u2028line\u2029paragraph\u0085next\u180evowel\u200bzero",
    "\x00\x01\x1b\x1c\x1d\x1e\x1f\x7f control \x0b\x0c end",
    "a\u00a0\u00a0 b \u3000c\n\u3000\n d",
    "#include <stdio.h>\nint main(void) { return x[0] == 'a' ? 1 : -1; } // done\n",
    "https://example.org/a?b=c&d=%20e#f user@example.org $5.00 50% #tag --flag=value ... !!! ???",
    "a" * 300 + " " * 70 + "=" * 200 + "ab" * 100,
    "thethethethethe" * 20,
    "the end" + END + "not the end <|endof text|>",
    "\ufeffbyte order mark \ufffd replacement \U0010ffff last",
    "Mixed123Case456 snake_case camelCase kebab-case 'quoted' \u2018curly\u2019 \u201cdouble\u201d don\u2019t",
]


def random_texts(count):
    generator = random.Random(20210)
    alphabet = ["a", "the", " ", " ", "  ", "\n", "'", "'s", "'ll", "1", "23", ".", "--", "\u00e9", "\u65e5", "\u3000",
                "\u00a0", "\U0001f600", "\t", "_", "T", "HE", "\u0301", "\u0663", "\u2028"]
    return ["".join(generator.choice(alphabet) for _ in range(generator.randint(1, 60))) for _ in range(count)]


def train_small(folder):
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train([str(SHAKESPEARE)], vocab_size=256 + 600, min_frequency=2, special_tokens=[], show_progress=False)
    vocabulary, merges = tokenizer.save_model(folder)
    ids = json.loads(pathlib.Path(vocabulary).read_text(encoding="utf-8"))
    ids[END] = len(ids)
    text = json.dumps(dict(sorted(ids.items(), key=lambda item: item[1])), ensure_ascii=False)
    (HERE / "gpt2_small_vocabulary.json").write_text(text + "\n", encoding="utf-8")
    (HERE / "gpt2_small_merges.txt").write_text(pathlib.Path(merges).read_text(encoding="utf-8"), encoding="utf-8")
    return HERE / "gpt2_small_vocabulary.json", HERE / "gpt2_small_merges.txt", HERE / "gpt2_small_tokens.json"


def encode(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)


def main():
    published = len(sys.argv) == 4
    with tempfile.TemporaryDirectory() as folder:
        vocabulary, merges, out = map(pathlib.Path, sys.argv[1:4]) if published else train_small(folder)
    tokenizer = GPT2Tokenizer(vocab=str(vocabulary), merges=str(merges))
    shakespeare = SHAKESPEARE.read_text(encoding="utf-8")
    texts = TEXTS + random_texts(40) + [shakespeare[200000:203000]]
    if published:
        texts += random_texts(5000) + [shakespeare]
        assigned = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
        texts += ["".join(f"a{c}{c}b {c}1" for c in assigned[i:i + 256]) for i in range(0, len(assigned), 256)]
    cases = [{"text": text, "ids": encode(tokenizer, text)} for text in texts]
    # Shortest JSON, a case a line.
    lines = ",\n".join(json.dumps(case, ensure_ascii=True, separators=(",", ":")) for case in cases)
    out.write_text('{"cases":[\n' + lines + "\n]}\n", encoding="utf-8")
    print(f"{out}: {len(cases)} texts, {sum(len(case['ids']) for case in cases)} ids, vocabulary {len(tokenizer)}")


if __name__ == "__main__":
    main()
