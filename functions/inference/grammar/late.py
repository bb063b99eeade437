"""Keywords that no grammar enforces, so that the finished answer is checked for them (ADR 86)."""

import re
from typing import Any

WHOLE = ""
"""In place of a keyword: the schema as a whole is checked, because no grammar enforces any of it."""
LATE: dict[str, tuple[Any, ...]] = {
    "not": (False,),
    "if": (),
    "contains": (),
    "uniqueItems": (False,),
    "propertyNames": (True, {}, {"type": "string"}),
    "dependentRequired": ({},),
    "dependentSchemas": ({},),
    "dependencies": ({},),
    "unevaluatedProperties": (True, {}),
    "unevaluatedItems": (True, {}),
}
"""With values that restrict nothing."""
LATE_FORMATS = (
    *("idn-email", "idn-hostname", "iri", "iri-reference", "uri-reference", "uri-template", "json-pointer"),
    *("relative-json-pointer", "regex"),
)
LOOKS = re.compile(r"(?<!\\)(?:\\\\)*(?:\(\?<?[=!]|\\[bBk1-9])")
"""In a pattern: looks around, word boundaries and references back, which are not regular or not implemented."""
ADDING = frozenset({"then", "else", "dependentSchemas", "dependencies"})
"""They may name properties that stand nowhere else."""


def late_keywords(schema: dict[str, Any], known: dict[str, Any]) -> list[str]:
    """Those of `schema` that restrict values. `known`: its other keywords, as `nodes.plain` has them."""
    found = [keyword for keyword, trivial in LATE.items() if keyword in schema and schema[keyword] not in trivial]
    if "if" in found and not schema.keys() & {"then", "else"}:
        found.remove("if")
    least, required = known.get("minProperties"), known.get("required")
    names = len(required) if isinstance(required, list) else 0
    if isinstance(least, int | float) and least > max(1, names):  # in a grammar a repeated key counts twice
        found.append("minProperties")
    if known.get("format") in LATE_FORMATS:
        found.append("format")
    if isinstance(known.get("pattern"), str) and LOOKS.search(known["pattern"]):
        found.append("pattern")
    return found


def parts(schema: dict[str, Any], keyword: str) -> list[tuple[str, Any]]:
    """The schemas in a late keyword, with where they stand beside it."""
    if keyword == "if":
        return [(name, schema[name]) for name in ("if", "then", "else") if name in schema]
    value = schema[keyword]
    if keyword in ("dependentSchemas", "dependencies"):
        members = value.items() if isinstance(value, dict) else ()
        return [(f"{keyword}/{name}", inner) for name, inner in members if not isinstance(inner, list)]
    holds = keyword in LATE and keyword not in ("uniqueItems", "dependentRequired")
    return [(keyword, value)] if holds else []


def drafts_of(schema: dict[str, Any]) -> set[int]:
    """The drafts of which `schema` has a form that the other one does not know: 7, 2020."""
    newer = {"prefixItems", "dependentRequired", "dependentSchemas", "unevaluatedProperties", "unevaluatedItems"}
    old = isinstance(schema.get("items"), list) or schema.keys() & {"additionalItems", "dependencies"}
    new = schema.keys() & (newer | {"minContains", "maxContains"}) or (schema.keys() & LATE.keys() and "$ref" in schema)
    return ({7} if old else set()) | ({2020} if new else set())
