"""A schema inside its document: its place, its keywords in the words of the newest draft, and what it leaves open."""

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

from functions.inference.grammar.keywords import CHECKS

COMBINING = ("$ref", "allOf", "anyOf", "oneOf")
KNOWN = frozenset(
    {*CHECKS, *COMBINING, "enum", "multipleOf", "properties", "patternProperties", "additionalProperties"}
    | {"items", "prefixItems"}
)
VALUES = ("const", "enum", "default", "examples")
"""Keywords with values of the caller's, which are no schemas whatever they look like."""
Node = dict[str, Any] | bool


@dataclass(frozen=True)
class Place:
    """Where a schema stands. `merged`: the place at which it is combined with others, if it is. `open_refs`: references
    followed since the last property or item; following one of them again would never end."""

    at: str
    depth: int = 0
    merged: str | None = None
    open_refs: frozenset[str] = frozenset()
    inlined: frozenset[str] = frozenset()

    def down(self, step: str, name: str = "") -> "Place":
        """The place of a property or item."""
        merged = None if self.merged is None else f"{self.merged}/{name or step}"
        return Place(self._at(step, name), self.depth + 1, merged, frozenset(), self.inlined)

    def beside(self, step: str) -> "Place":
        """The place of a schema that applies to the same value."""
        return replace(self, at=self._at(step), depth=self.depth + 1)

    def _at(self, step: str, name: str = "") -> str:
        return f"{self.at}/{step}/{name}".rstrip("/")[:200]


def plain(schema: dict[str, Any]) -> dict[str, Any]:
    """The keywords that restrict values, in the words of the newest draft."""
    known = {keyword: value for keyword, value in schema.items() if keyword in KNOWN}
    types = known.get("type", ["string"])
    types = types if isinstance(types, list) else [types]
    if "string" not in types:
        known.pop("format", None)  # `int64` and the like say something about numbers
    if schema.get("nullable") is True and "type" in known:
        known["type"] = [*types, "null"]
    for exclusive, inclusive in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(flag := known.get(exclusive), bool):  # draft 4
            del known[exclusive]
            if flag and inclusive in known:
                known[exclusive] = known.pop(inclusive)
    if isinstance(known.get("items"), list):
        known["prefixItems"] = known.pop("items")
        if "additionalItems" in schema:
            known["items"] = schema["additionalItems"]
    return known


def close(node: dict[str, Any]) -> None:
    """Objects have the named properties only, and tuples the named items, unless the schema adds others."""
    properties = node.get("properties")
    adding = node.keys() & {"additionalProperties", "patternProperties"}
    if properties is not None and not adding and properties.keys() >= set(node.get("required", ())):
        node["additionalProperties"] = False
    if "patternProperties" in node and not node.keys() & {"properties", "additionalProperties", "required"}:
        node["additionalProperties"] = False
    if "prefixItems" in node and not node.keys() & {"items", "minItems", "maxItems"}:
        node |= {"items": False, "minItems": len(node["prefixItems"])}


def is_other(schema: Any, document: Any) -> bool:
    """Whether references inside `schema`, a part of `document`, lead elsewhere."""
    return isinstance(schema, dict) and schema is not document and isinstance(schema.get("$id"), str)


def anchors(document: Any) -> dict[str, list[dict[str, Any]]]:
    """The schemas of each `$anchor`, of which a valid document has one."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    left = [document]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left += value
        elif isinstance(value, dict) and not is_other(value, document):
            if isinstance(name := value.get("$anchor"), str):
                found[name].append(value)
            left += [inner for key, inner in value.items() if key not in VALUES]
    return found
