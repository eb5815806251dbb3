"""The files that the style tests read: (path relative to the root, text)."""
import pathlib
import sys

FOLDERS = ("kernels", "src", "tests", "tools", "jobs", "inputs")


def root():
    """The tree to check: the argument, or the one that this file lies in."""
    return pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2]


def sources(*suffixes):
    for folder in FOLDERS:
        for path in sorted((root() / folder).rglob("*")):
            if path.suffix in suffixes and path.is_file():
                yield path.relative_to(root()), path.read_text(encoding="utf-8")


def finish(problems, rule):
    for problem in problems:
        print(problem)
    print(f"{len(problems)} violations of: {rule}")
    sys.exit(1 if problems else 0)
