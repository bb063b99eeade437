"""The number of parse states that a grammar can need at once, computed before llama.cpp has to keep them.

llama.cpp follows every alternative that fits the text so far. Two objects in an `anyOf` are two states until a key
distinguishes them, and nested choices multiply the states: a schema that recurses through such a choice doubles them at
each level. Such a recursion is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

MOST_STATES = 32
KIND_OF_RULE = {"object": "object", "array": "array", "value": "value"}


@dataclass(frozen=True)
class RuleShape:
    """The kind of a rule, and the names of the rules it consists of."""

    kind: Literal["object", "array", "union"]
    parts: Sequence[str]


def is_narrow(shapes: Mapping[str, RuleShape], root: str) -> bool:
    """Whether values of rule `root` need at most MOST_STATES parse states."""
    return _States(shapes).of(root) <= MOST_STATES


class _States:
    def __init__(self, shapes: Mapping[str, RuleShape]) -> None:
        self._shapes = shapes
        self._known: dict[str, int] = {}

    def of(self, rule: str) -> int:
        if rule not in self._shapes:
            return 1
        if rule not in self._known:
            self._known[rule] = 1  # a recursion reads this; it is harmless unless it passes an ambiguous choice
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
        """The members of a choice, including those of nested choices."""
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
