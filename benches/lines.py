#!/usr/bin/env python3
"""Counts the lines of the plugin's code as rustfmt formats it, without tests: the total, and the ten largest files.

Tests are blocks `#[cfg(test)] mod …`, files and folders named `tests`, and `src/plan/testing`.
"""

import re
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent / "src"
TESTS = re.compile(r"^( *)#\[cfg\(test\)\]\n(?: *#\[.*\n)*\1(?:pub(?:\([a-z ]+\))? )?mod \w+(?:;\n|\s*\{\n(?:.*\n)*?\1\}\n)", re.M)


def is_code(path: Path) -> bool:
    inner = path.relative_to(SOURCES)
    return "tests" not in inner.with_suffix("").parts and inner.parts[:2] != ("plan", "testing")


def lines(path: Path) -> int:
    return len(TESTS.sub("", path.read_text()).rstrip("\n").splitlines())


def main() -> None:
    subprocess.run(["cargo", "fmt", "--check"], cwd=SOURCES.parent, stdout=subprocess.DEVNULL, check=True)
    files = [path for path in sorted(SOURCES.rglob("*.rs")) if is_code(path)]
    counts = sorted(((lines(path), path) for path in files), key=lambda one: (-one[0], one[1]))
    print(f"{sum(count for count, _ in counts)} lines in {len(counts)} files")
    for count, path in counts[:10]:
        print(f"{count:6} {path.relative_to(SOURCES.parent)}")


if __name__ == "__main__":
    sys.exit(main())
