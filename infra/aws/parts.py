"""`python -m infra.aws.parts [--write]`: generates template.yaml, which SAM reads, from the parts that people read.

The parts are one text, so an anchor of the first holds in the second too. Comments and empty lines stay in the parts.
"""

import re
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
    return HEAD + "".join(f"{kept}\n" for line in lines if (kept := COMMENT.sub(r"\1", line).rstrip()))


if __name__ == "__main__":
    main(TEMPLATE, joined())
