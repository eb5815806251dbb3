#!/usr/bin/env python3
"""Trains GPT-2's byte-level byte-pair encoding on text files, with a vocabulary of any size (Sennrich et al. 2016; Radford et
al. 2019): bytes first, then, one after the other, the most frequent pair of neighbours within words becomes a token.

    make_tokenizer.py SIZE FOLDER TEXT ...     writes FOLDER/vocabulary.json and FOLDER/merges.txt, which the deck's
                                               data.vocabulary_file and data.merges_file read; SIZE counts the 256 bytes and
                                               the end of a document

Words are cut as GPT-2 does where the text is ASCII. Equal counts: the pair that comes first by its bytes.
"""
import collections
import json
import pathlib
import re
import sys

END = "<|endoftext|>"
WORD = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")


def visible_bytes():
    """GPT-2's character for each byte: itself where it prints, else the next one from 256 on."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in kept]
    return {byte: chr(byte) for byte in kept} | {byte: chr(256 + i) for i, byte in enumerate(others)}


class Words:
    """Distinct words as lists of tokens, how often each stands in the text, and how often each pair of neighbours does."""

    def __init__(self, text):
        shown = visible_bytes()
        counted = collections.Counter(WORD.findall(text))
        self.words = [[shown[byte] for byte in word.encode()] for word in counted]
        self.counts = list(counted.values())
        self.pairs = collections.Counter()
        self.words_of = collections.defaultdict(set)
        for i in range(len(self.words)):
            self.count(i, 1)

    def count(self, i, sign):
        for pair in zip(self.words[i], self.words[i][1:]):
            self.pairs[pair] += sign * self.counts[i]
            self.words_of[pair].add(i)

    def merge(self, pair):
        for i in self.words_of.pop(pair):
            self.count(i, -1)
            self.words[i] = merged(self.words[i], pair)
            self.count(i, 1)
        del self.pairs[pair]


def token_of(pair):
    return pair[0] + pair[1]


def merged(word, pair):
    result, i = [], 0
    while i < len(word):
        here = tuple(word[i:i + 2]) == pair
        result.append(token_of(pair) if here else word[i])
        i += 2 if here else 1
    return result


def train(text, merges):
    words, found = Words(text), []
    while len(found) < merges:
        pair = min(words.pairs, key=lambda pair: (-words.pairs[pair], pair), default=None)
        if pair is None or words.pairs[pair] < 2:
            sys.exit(f"make_tokenizer: the text has only {len(found)} pairs that stand twice; {merges} were asked for")
        found.append(pair)
        words.merge(pair)
    return found


def main(size, folder, *texts):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    merges = train("\n".join(pathlib.Path(text).read_text() for text in texts), int(size) - 257)
    tokens = [*visible_bytes().values(), *map(token_of, merges), END]
    (folder / "vocabulary.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))


if __name__ == "__main__":
    if len(sys.argv) < 4 or not sys.argv[1].isdigit() or int(sys.argv[1]) < 257:
        sys.exit(__doc__)
    main(*sys.argv[1:])
