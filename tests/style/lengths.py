#!/usr/bin/env python3
"""Files stay under 400 lines, functions under 60, lines under 120 columns (clang-format sees to the code's own lines).

Functions are found by their braces: a block whose head has a parameter list and that lies in a namespace or a class."""
import re

from sources import finish, sources

FILE_LINES, FUNCTION_LINES = 400, 60
NOISE = re.compile(r'//[^\n]*|/\*.*?\*/'                                             # comments
                   r'|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''  # literals
                   r'|^[ \t]*#(?:[^\n]*\\\n)*[^\n]*', re.DOTALL | re.MULTILINE)           # preprocessor


def kind_of(head):
    if re.search(r"\bnamespace\b|\bextern\b", head):
        return "scope"
    if re.search(r"\b(class|struct|union|enum)\b", head) and "(" not in head:
        return "scope"
    return "function" if ")" in head else "other"


def functions(text):
    """(name, first line, number of lines) of each function's definition."""
    # A digit separator (1'000) is no character literal; comments and literals keep their line breaks.
    text = re.sub(r"(?<=[0-9a-fA-F])'(?=[0-9a-fA-F])", "_", text)
    text = NOISE.sub(lambda m: "\n" * m.group(0).count("\n") + " ", text)
    stack, start = [], 0
    for match in re.finditer(r"[{};]", text):
        at, mark = match.start(), match.group(0)
        if mark == "{":
            head = text[start:at]
            first = text.count("\n", 0, start + len(head) - len(head.lstrip()))
            inside = any(kind == "function" for kind, _, _ in stack)
            stack.append((None if inside else kind_of(head), head, first))
        elif mark == "}" and stack:
            kind, head, first = stack.pop()
            if kind == "function":
                name = re.search(r"([\w:~]+|operator\S+)\s*\(", head)
                yield name.group(1) if name else "?", first + 1, text.count("\n", 0, at) - first + 1
        start = match.end()


problems = []
for path, text in sources(".h", ".cpp", ".cu", ".cuh", ".py", ".sh", ".cmake", ".txt"):
    if path.suffix == ".txt" and path.name != "CMakeLists.txt":
        continue  # data
    lines = text.count("\n")
    if lines > FILE_LINES:
        problems.append(f"{path}: {lines} lines, at most {FILE_LINES}: split it by subject")
    if path.suffix in (".h", ".cpp", ".cu", ".cuh"):
        for name, first, length in functions(text):
            if length > FUNCTION_LINES:
                problems.append(f"{path}:{first}: {name} has {length} lines, at most {FUNCTION_LINES}")
    else:
        for number, line in enumerate(text.split("\n"), 1):
            if len(line) > 128:
                problems.append(f"{path}:{number}: {len(line)} columns, at most 128")
finish(problems, f"files up to {FILE_LINES} lines, functions up to {FUNCTION_LINES}")
