"""One line of the output."""

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """`problem`: `make up` fails or works incorrectly. `note`: it works, but perhaps not as intended."""

    kind: Literal["ok", "note", "problem"]
    text: str
    advice: str = ""


Findings = Generator[Finding, None, None]
ok, note, problem = partial(Finding, "ok"), partial(Finding, "note"), partial(Finding, "problem")
