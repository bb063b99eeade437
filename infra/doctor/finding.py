"""One line of the output."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """`problem`: `make up` fails or works incorrectly. `note`: it works, but perhaps not as intended."""

    kind: Literal["ok", "note", "problem"]
    text: str
    advice: str = ""


def ok(text: str) -> Finding:
    return Finding("ok", text)


def note(text: str, advice: str = "") -> Finding:
    return Finding("note", text, advice)


def problem(text: str, advice: str = "") -> Finding:
    return Finding("problem", text, advice)
