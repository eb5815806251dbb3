#!/usr/bin/env python3
"""Words that do not land: marks of unfinished work, names that say nothing, owners that the house does not use;
and the word that the head of a file of CUDA kernels must have."""
import re

from sources import finish, sources

MARKS = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b")
NAMES = re.compile(r"\b(?:class|struct)\s+(\w*(?:Manager|Helper|Util|Utils|Engine)\w*)")
OWNERS = re.compile(r"\bstd::(shared_ptr|make_shared)\b|(?<!operator )\b(?:new|delete)\s+[A-Za-z_:]+\s*[\[({;]")
LAUNCH = re.compile(r"\b(?:launch|strips|elementwise|add_column_sums)(?:<[\w, ]*>)?\(")
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|R\"(\w*)\(.*?\)\1\"|\"(?:\\.|[^\"\\\n])*\"", re.DOTALL)


def line_of(text, match):
    return text.count("\n", 0, match.start()) + 1


problems = []
for path, text in sources(".h", ".cpp", ".cu", ".cuh", ".py", ".sh", ".cmake", ".ini", ".md", ".sbatch"):
    for match in MARKS.finditer(text):
        problems.append(f"{path}:{line_of(text, match)}: {match.group(0)}: finish it, or write it into an issue")
    if path.suffix not in (".h", ".cpp", ".cu", ".cuh"):
        continue
    code = COMMENT.sub(lambda m: "\n" * m.group(0).count("\n"), text)
    if path.suffix == ".cu" and LAUNCH.search(code) and "floor" not in text[:text.find("#include")].lower():
        problems.append(f"{path}:1: Floor: say in the head what the kernels' bandwidth or FLOP are at least")
    for match in NAMES.finditer(code):
        problems.append(f"{path}:{line_of(code, match)}: {match.group(1)}: name what it is or does")
    if path.parts[0] != "tests":
        for match in OWNERS.finditer(code):
            problems.append(f"{path}:{line_of(code, match)}: {match.group(0).strip()}: a value or a unique_ptr owns")
finish(problems, "no marks of unfinished work, no empty names, no raw or shared owners; kernels have floors")
