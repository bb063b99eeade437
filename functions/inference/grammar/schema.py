"""A caller's JSON schema, checked, bounded and rewritten for llguidance (ADR 79).

llguidance enforces what it implements and refuses most of the rest. This module bounds what would be dear to compile,
and takes out what changes llguidance's behaviour (`$schema`, `x-guidance`). Objects that list properties, and tuples,
are closed where the schema does not say otherwise. Keywords that no grammar enforces are left out of it and noted in
`late`, because the finished answer is checked for them (ADR 86). What can neither be enforced nor checked is refused by
keyword and place.
"""

import math
from dataclasses import replace
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from functions.inference.errors import UnsupportedSchema
from functions.inference.grammar.keywords import (
    CHECKS,
    FORCED_A_POINT,
    FORMATS,
    digits,
    literal,
    pattern_points,
    points,
    without_exclusive,
)
from functions.inference.grammar.late import ADDING, LATE_FORMATS, WHOLE, drafts_of, late_keywords, parts
from functions.inference.grammar.nodes import COMBINING, KNOWN, Node, Place, anchors, close, is_other, plain
from functions.inference.grammar.rewrite import EXACT, NUMBER, RANGES, rewritten

FORMATS_OF_DRAFTS = [*FORMATS, *LATE_FORMATS]
MOST_POINTS = 1_000
"""About 50 µs of compilation each: a node is one."""
REF_CHARACTERS = 1_000
"""Of a `$ref`. A longer one leads nowhere, so it is not decoded."""
MOST_DEPTH = 64
MOST_ALTERNATIVES = 256
"""Of one place, after all schemas that apply to it are combined: llguidance multiplies them out."""
MOST_PROPERTIES = 128
MOST_FACTOR = 5_000
"""Of the least common multiple of all `multipleOf`, without their decimal points: a state for each remainder."""
MOST_FORMATTED = 400
"""Characters of a string that has a `format` and a `maxLength`: llguidance follows both, a state for each length."""
REFUSED = frozenset({"$dynamicRef", "$recursiveRef"})
WRITING = {
    "whitespace_flexible": False,
    "item_separator": ", ?",
    "key_separator": ": ?",
    "coerce_one_of": True,  # with a warning, where options may not exclude each other: `oneOf` becomes `anyOf`
    "json_allowed_escapes": 'nrbtf\\"',  # no \uXXXX: it could spell a property's name a second time
}


class SchemaChecker:
    """One schema. `param`: the request's field that a refusal names. `points`: what the schema may cost."""

    def __init__(self, document: Any, param: str, points: float = MOST_POINTS, *, formats_hold: bool = True) -> None:
        """`formats_hold`: refuse a `format` that neither draft defines, instead of leaving it out as they say."""
        self.document = document
        self.param = param
        self._formats_hold = formats_hold
        self.points = points
        self._names: dict[str, str] = {}
        self._defs: dict[str, Node] = {}
        self._products: dict[str, int] = {}
        self._factor = 1
        self._below_late = 0
        self.late: list[tuple[str, str]] = []
        """Keywords, with their places, for which the finished answer has to be checked; `WHOLE` for all of them."""
        self.nullable = False
        self.drafts: set[int] = set()
        """Drafts of which forms occur that the other one does not know."""
        self._seen: list[tuple[str, Node]] = []

    def checked(self) -> dict[str, Any]:
        """The schema for llguidance. Raises UnsupportedSchema."""
        root = self._visit(self.document, Place("#"))
        if root is False:
            raise self.refused("#", "allows no value")
        return self._whole(root)

    def loosened(self) -> dict[str, Any]:
        """Instead of `checked`: any object, for whose schema the finished answer is checked."""
        self.late.append((WHOLE, "#"))
        return {"type": "object", "x-guidance": WRITING}

    def parts(self) -> list[tuple[str, dict[str, Any]]]:
        """Every place with the schema that stands there, inner ones first: to find out which one does not compile."""
        return [(at, self._whole(node)) for at, node in self._seen]

    def refused(self, at: str, why: str) -> UnsupportedSchema:
        return UnsupportedSchema(f"The schema at {at} {why}.", self.param)

    def _whole(self, node: Node) -> dict[str, Any]:
        return {**(node if isinstance(node, dict) else {}), "$defs": self._defs, "x-guidance": WRITING}

    def _spend(self, points: float, place: Place) -> None:
        self.points -= points
        if self.points < 0 or place.depth > MOST_DEPTH:
            raise self.refused(place.at, "is too large or too deep")

    def _visit(self, schema: Any, place: Place) -> Node:
        self._spend(1, place)
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            raise self.refused(place.at, "is no schema: it must be an object or a boolean")
        for keyword in sorted(REFUSED.intersection(schema)):
            raise self.refused(place.at, f"uses `{keyword}`, which is not supported")
        if "$id" in schema and place.at != "#":
            raise self.refused(place.at, "uses `$id`, which is supported for the whole schema only")
        known = plain(schema)
        if known.get("format", "date") not in FORMATS_OF_DRAFTS and ("pattern" in known or not self._formats_hold):
            del known["format"]
        said = rewritten(schema, known, self.target)
        self._note_late(schema, known, place, said)
        node = self._node(known, self._merging(known, place))
        if place.merged is None and not node.keys() & set(COMBINING) and not schema.keys() & ADDING:
            close(node)
        self._seen.append((place.at, node))
        return node

    def _note_late(self, schema: dict[str, Any], known: dict[str, Any], place: Place, said: set[str]) -> None:
        """Takes from `known` what the finished answer is checked for. The schemas in such keywords are visited, so that
        what they may say and cost is what any schema may. `said`: keywords that the grammar says after all."""
        for keyword in late_keywords(schema, known):
            if keyword in said and not self._below_late:
                continue
            if keyword == "pattern" and self._below_late:
                raise self.refused(
                    place.at, "has a `pattern` that looks around, inside a keyword that is checked later"
                )
            self.late.append((keyword, place.at))
            if keyword in ("pattern", "format"):
                self._spend(pattern_points(known.pop(keyword)), place)
            seen = len(self._seen)
            self._below_late += 1
            for step, inner in parts(schema, keyword):
                self._visit(inner, Place(f"{place.at}/{step}"[:200], place.depth + 1))
            self._below_late -= 1
            del self._seen[seen:]
        self.drafts |= drafts_of(schema)
        self.nullable = self.nullable or schema.get("nullable") is True

    def _merging(self, schema: dict[str, Any], place: Place) -> Place:
        """`place`, marked if more than one schema applies to its value."""
        combined = [
            len(schema[key]) if key == "allOf" and isinstance(schema[key], list) else 1
            for key in COMBINING
            if key in schema
        ]
        others = schema.keys() - {*COMBINING, "type"}
        if place.merged is None and combined and sum(combined) + bool(others) > 1:
            return replace(place, merged=f"{len(self._seen)} {place.at}")  # an inlined schema has its place twice
        return place

    def _node(self, schema: dict[str, Any], place: Place) -> dict[str, Any]:
        node: dict[str, Any] = {}
        if RANGES & schema.keys():
            self._spend(5, place)
        for keyword, value in schema.items():
            name, found = self._keyword(keyword, value, place)
            node[name] = node[name] + found if name == "allOf" and name in node else found
        without_exclusive(node)
        if (exact := EXACT.get(node.get("format", ""))) is not None:
            self._spend(3, place)
            node["allOf"] = [*node.get("allOf", []), {"pattern": exact}]
        if "format" in node and "maxLength" in node:
            node["maxLength"] = min(node["maxLength"], MOST_FORMATTED)
        return node

    def _keyword(self, keyword: str, value: Any, place: Place) -> tuple[str, Any]:
        match keyword:
            case "oneOf" if place.merged is None:
                return "$ref", self._one_of(value, place)
            case "anyOf" | "oneOf" | "allOf":
                return keyword, self._combined(keyword, value, place)
            case "$ref" if place.merged is not None:
                return "allOf", [self._inlined(value, place)]
            case "$ref":
                return keyword, self._named(value, place)
            case "properties" | "patternProperties":
                return keyword, self._properties(keyword, value, place)
            case "prefixItems":
                return keyword, self._items(keyword, value, place)
            case "items" | "additionalProperties":
                return keyword, self._visit(value, place.down(keyword))
            case "enum":
                return keyword, self._enum(value, place)
            case "multipleOf":
                return keyword, self._multiple(value, place)
        return keyword, self._value(keyword, value, place)

    def _value(self, keyword: str, value: Any, place: Place) -> Any:
        if keyword == "const":
            self._spend(points(value) + len(str(value)) // FORCED_A_POINT, place)
        if keyword == "pattern":
            self._spend(pattern_points(value), place)
            self._multiply(keyword, 16, place)  # two may apply to one place, never three
        if keyword == "required" and isinstance(value, list):
            if len(value) > MOST_PROPERTIES:
                raise self.refused(place.at, f"has more than {MOST_PROPERTIES} `required`")
            self._spend(len(value) / (4 if place.merged is None else 1), place)  # each is searched among the others
            self._spend(sum(len(str(name)) for name in value) // FORCED_A_POINT, place)
        try:
            checked = CHECKS[keyword](value)
        except ValueError as exc:
            raise self.refused(place.at, str(exc) if keyword == "type" else f"has a `{keyword}` that {exc}") from exc
        if keyword == "minLength":
            self._spend(checked // FORCED_A_POINT, place)  # a pattern beside it may force each
        return checked

    def _enum(self, values: Any, place: Place) -> list[Any]:
        if not isinstance(values, list) or not values:
            raise self.refused(place.at, "has an `enum` that is no list of values")
        common = min(len(str(value)) for value in values)  # at most
        self._spend(sum(map(points, values)) + common // FORCED_A_POINT, place)
        self._multiply("enum", len(values), place)
        return self._literal("enum", values, place)

    def _literal(self, keyword: str, values: list[Any], place: Place) -> list[Any]:
        try:
            return [literal(value) for value in values]
        except ValueError as exc:
            raise self.refused(place.at, f"has {'an' if keyword == 'enum' else 'a'} `{keyword}` that {exc}") from exc

    def _multiple(self, value: Any, place: Place) -> Any:
        try:
            one = digits(value)
        except ValueError as exc:
            raise self.refused(place.at, f"has a `multipleOf` that {exc}") from exc
        self._multiply("multipleOf", 17, place)  # one may apply to a place: llguidance multiplies two in 32 bits
        self._factor = math.lcm(self._factor, one)
        if self._factor > MOST_FACTOR:
            why = f"has a `multipleOf` with which the least common multiple of all is over {MOST_FACTOR:,}"
            raise self.refused(place.at, why)
        return value

    def _combined(self, keyword: str, options: Any, place: Place) -> list[Node]:
        if not isinstance(options, list) or not options:
            raise self.refused(place.at, f"has an `{keyword}` that is no list of schemas")
        if keyword != "allOf":
            self._multiply(keyword, len(options), place)
        places = [place.beside(f"{keyword}/{n}") for n in range(len(options))]
        return [self._option(keyword, option, inner) for option, inner in zip(options, places, strict=True)]

    def _option(self, keyword: str, option: Any, place: Place) -> Node:
        """Options of `oneOf` stand there in full: llguidance has to prove that they exclude each other."""
        if keyword == "oneOf" and isinstance(option, dict) and KNOWN & option.keys() == {"$ref"}:
            return self._inlined(option["$ref"], place)
        return self._visit(option, place)

    def _one_of(self, options: Any, place: Place) -> str:
        """A definition of its own, because an option may contain the whole choice again."""
        name = f"one-of-{id(options)}"
        if name not in self._defs:
            self._defs[name] = True  # before the visit
            self._defs[name] = {"oneOf": self._combined("oneOf", options, place)}
            self._seen.append((place.at, self._defs[name]))
        return f"#/$defs/{name}"

    def _multiply(self, keyword: str, alternatives: int, place: Place) -> None:
        self._spend(alternatives / 10, place)
        if place.merged is None:
            return
        product = self._products[place.merged] = alternatives * self._products.get(place.merged, 1)
        if product > MOST_ALTERNATIVES:
            raise self.refused(place.at, f"combines, with this `{keyword}`, over {MOST_ALTERNATIVES} alternatives")

    def _properties(self, keyword: str, value: Any, place: Place) -> dict[str, Node]:
        if not isinstance(value, dict):
            raise self.refused(place.at, f"has `{keyword}` that are no object")
        if len(value) > MOST_PROPERTIES:
            raise self.refused(place.at, f"has more than {MOST_PROPERTIES} `{keyword}`")
        if keyword == "properties":
            self._literal(keyword, list(value), place)
        if keyword == "patternProperties":
            self._spend(len(value) ** 2 / 8 + sum(map(pattern_points, value)), place)  # each pair is compared
        return {name: self._shared(self._visit(inner, place.down(keyword, name))) for name, inner in value.items()}

    def _shared(self, node: Node) -> Node:
        """Plain numbers and dates are compiled once for all properties: they take ten times as long as other nodes."""
        name = node.get("format", "number") if isinstance(node, dict) else ""
        if node not in (NUMBER, {"type": "string", "format": name, "allOf": [{"pattern": EXACT.get(name)}]}):
            return node
        self._defs[name] = node
        return {"$ref": f"#/$defs/{name}"}

    def _items(self, keyword: str, value: Any, place: Place) -> list[Node]:
        if not isinstance(value, list):
            raise self.refused(place.at, f"has `{keyword}` that are no list")
        return [self._visit(item, place.down(keyword, str(n))) for n, item in enumerate(value)]

    # ---- references

    def _named(self, ref: Any, place: Place) -> str:
        target = self._target(ref, place)
        if ref not in self._names:
            name = self._names[ref] = str(len(self._names))  # before the visit: a schema may contain itself
            self._defs[name] = self._visit(target, Place(ref, place.depth + 1, None, place.open_refs | {ref}))
        return f"#/$defs/{self._names[ref]}"

    def _inlined(self, ref: Any, place: Place) -> Node:
        """The schema itself in place of the reference, because it is compared or combined with others."""
        target = self._target(ref, place)
        if place.merged is not None and ref in place.inlined:
            return {"$ref": self._named(ref, place)}
        inlined = place.inlined | {ref}
        return self._visit(target, Place(ref, place.depth + 1, place.merged, place.open_refs | {ref}, inlined))

    def _target(self, ref: Any, place: Place) -> Any:
        if not isinstance(ref, str) or not ref.startswith("#"):
            raise self.refused(place.at, "has a `$ref` that does not lead into the schema itself (#…)")
        if ref in place.open_refs:
            raise self.refused(place.at, "has a `$ref` that refers to itself without end")
        return self.target(ref, place.at)

    def target(self, ref: str, at: str = "#") -> Any:
        """The schema that `ref` leads to: a path (#/…, RFC 6901) or an anchor (#…). Raises UnsupportedSchema."""
        missing = self.refused(at, f"has a `$ref` to {ref[:80]}, which does not exist")
        if len(ref) > REF_CHARACTERS:
            raise missing
        name, *path = unquote(ref[1:]).split("/")
        target = self.document
        if name:
            found = [] if path else self._anchors.get(name, [])
            if len(found) != 1:
                raise missing
            return found[0]
        for part in path:
            key = part.replace("~1", "/").replace("~0", "~")
            is_number = isinstance(target, list) and key.isascii() and key.isdigit() and len(key) < 10
            if is_number and int(key) < len(target):
                target = target[int(key)]
            elif isinstance(target, dict) and key in target and not is_other(target, self.document):
                target = target[key]
            else:
                raise missing
        return target

    @cached_property
    def _anchors(self) -> dict[str, list[dict[str, Any]]]:
        return anchors(self.document)
