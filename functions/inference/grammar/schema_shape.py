"""How many parse states a grammar can need at once, told before llama.cpp has to keep them.

A grammar follows every alternative that fits the text so far. Two objects in an `anyOf` are two states until a key
tells them apart, and states multiply where such choices nest: a schema that recurses through one doubles them at each
level, without end. So states are counted beforehand, and such a recursion is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

MOST_STATES = 32
KIND_OF_RULE = {"object": "object", "array": "array", "value": "value"}


@dataclass(frozen=True)
class Shape:
    """What a rule is, and the rules its parts are."""

    kind: Literal["object", "array", "union"]
    parts: Sequence[str]


def check_width(shapes: Mapping[str, Shape], root: str) -> bool:
    """Whether no more than MOST_STATES states can be needed for values of rule `root`."""
    return _Width(shapes).of(root) <= MOST_STATES


class _Width:
    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        self._shapes = shapes
        self._known: dict[str, int] = {}

    def of(self, rule: str) -> int:
        if rule not in self._shapes:
            return 1
        if rule not in self._known:
            self._known[rule] = 1  # met again below: a recursion, harmless unless through an ambiguous choice
            self._known[rule] = self._compute(rule)
        return self._known[rule]

    def _compute(self, rule: str) -> int:
        shape = self._shapes[rule]
        if shape.kind != "union":
            return max((self.of(part) for part in shape.parts), default=1)
        widest = 1
        alternatives = self._alternatives(rule, set())
        for kind in ("object", "array"):
            alike = [name for name in alternatives if self._kind(name) in (kind, "value")]
            if len(alike) > 1 and any(self._reaches(name, rule, set()) for name in alike):
                return MOST_STATES + 1
            widest = max(widest, sum(self.of(name) for name in alike))
        return widest

    def _alternatives(self, rule: str, seen: set[str]) -> list[str]:
        """A choice's members, those of choices within it included."""
        if rule in seen:
            return []
        seen.add(rule)
        shape = self._shapes.get(rule)
        if shape is None or shape.kind != "union":
            return [rule]
        return [name for part in shape.parts for name in self._alternatives(part, seen)]

    def _kind(self, rule: str) -> str:
        return self._shapes[rule].kind if rule in self._shapes else KIND_OF_RULE.get(rule, "scalar")

    def _reaches(self, rule: str, goal: str, seen: set[str]) -> bool:
        if rule == goal:
            return True
        if rule in seen or rule not in self._shapes:
            return False
        seen.add(rule)
        return any(self._reaches(part, goal, seen) for part in self._shapes[rule].parts)
