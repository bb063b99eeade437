"""`python -m infra.aws.parts [--write]`: generates template.yaml, which SAM reads, from the parts that people read.

The parts are one text, so an anchor of the first holds in the second too. Comments, empty lines and wide indentation
stay in the parts, which keeps template.yaml under 60 KB.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from infra.aws.cost.page import main

PARTS = [Path(__file__).with_name(name) for name in ("app.yaml", "background.yaml")]
TEMPLATE = Path(__file__).parents[2] / "template.yaml"
HEAD = (
    "# Generated from infra/aws/app.yaml and infra/aws/background.yaml, which have the comments: "
    "python -m infra.aws.parts --write\n"
)
TEXT = r"""(?:[^#"']|"[^"]*"|'[^']*'|(?<=\S)#)"""
COMMENT = re.compile(rf"^({TEXT}*?)\s*(?<!\S)#.*$")


def joined() -> str:
    lines = (line for part in PARTS for line in part.read_text().splitlines())
    return HEAD + "".join(_narrow(kept for line in lines if (kept := COMMENT.sub(r"\1", line).rstrip())))


def _narrow(lines: Iterable[str]) -> Iterator[str]:
    """Each level by one space, and by two after a dash."""
    levels = [(0, 0)]  # columns of the open levels, as they are and as they become
    for line in lines:
        text = line.lstrip(" ")
        column = len(line) - len(text)
        while levels[-1][0] > column:
            levels.pop()
        if levels[-1][0] < column:
            levels.append((column, levels[-1][1] + 1))
        yield " " * levels[-1][1] + text + "\n"
        if text.startswith("- "):
            levels.append((column + 2, levels[-1][1] + 2))


if __name__ == "__main__":
    main(TEMPLATE, joined())
