"""One line of the doctor's."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """`problem`: `make up` fails or does not do what it says; `note`: works, but may surprise."""

    kind: Literal["ok", "note", "problem"]
    text: str
    advice: str = ""


def ok(text: str) -> Finding:
    return Finding("ok", text)


def note(text: str, advice: str = "") -> Finding:
    return Finding("note", text, advice)


def problem(text: str, advice: str = "") -> Finding:
    return Finding("problem", text, advice)
