"""What generated text consists of, and what finds it."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class PlainText:
    text: str


@dataclass(frozen=True)
class Reasoning:
    text: str


@dataclass(frozen=True)
class CallStart:
    index: int
    name: str


@dataclass(frozen=True)
class CallArguments:
    index: int
    text: str


Part = PlainText | Reasoning | CallStart | CallArguments


class Parser(Protocol):
    """`feed` takes text and returns the parts that later text cannot change; `finish` returns the rest."""

    calls: int
    complete_calls: int
    """Calls whose arguments are complete."""

    def feed(self, text: str) -> list[Part]: ...

    def finish(self) -> list[Part]: ...
