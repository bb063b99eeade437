"""Says keywords that llguidance does not implement, or not exactly, by those that it does, where that is possible."""

from collections.abc import Callable
from itertools import permutations
from typing import Any

from functions.inference.grammar.keywords import MOST_NUMBER
from functions.inference.grammar.late import LOOKS

MOST_UNIQUE = 4
"""Values of an `enum` whose every order is written out: 64 lists."""
UNIQUE_CHARACTERS = 1_000
"""Of these values together, because each list repeats them."""
ANNOTATIONS = {"title", "description", "$comment", "default", "examples"}
SECONDS = "[^:]*:[^:]*:[0-5]"
LEAP = "(?:..(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
DAY = f"^(?:....-(?:0[^2]|1.|02-(?:[01].|2[0-8]))|{LEAP}-02-29)"
MAILBOX = r"^[^@]{1,64}@([^@.]{1,63}\.)*[^@.]{1,63}$"
AMOUNTS = "^[^0-9]*([0-9]{1,4}[^0-9]+)*$"
EXACT = {"date": DAY, "date-time": DAY + SECONDS, "time": "^" + SECONDS, "email": MAILBOX, "duration": AMOUNTS}
"""Patterns beside formats: llguidance allows the 29th of February in any year, a 61st second, and names and
amounts of any length."""
NUMBER: dict[str, Any] = {"type": "number", "minimum": -MOST_NUMBER}
"""Without any bound 1e9999 is a number, which readers take for infinite."""
RANGES = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})


def rewritten(schema: dict[str, Any], known: dict[str, Any], target: Callable[[str], Any]) -> set[str]:
    """Changes `known`, the keywords for the grammar. `target`: the schema that a reference leads to.

    → the keywords of `schema` that no longer have to be checked for."""
    least = known.get("minItems", 0)
    if "contains" in schema and schema.get("minContains", 1) != 0 and isinstance(least, int):
        known["minItems"] = max(least, 1)
    kind: Any = known.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    if "number" in kinds and not known.keys() & {*RANGES, "multipleOf", "enum", "const"}:
        known["minimum"] = NUMBER["minimum"]
    done: set[str] = set()
    if isinstance(schema.get("propertyNames"), dict) and _names(schema["propertyNames"], known):
        done.add("propertyNames")
    if schema.get("uniqueItems") is True and known.get("type") == "array" and _unique(known, target):
        done.add("uniqueItems")
    return done


def _names(names: dict[str, Any], known: dict[str, Any]) -> bool:
    said = names.keys() - ANNOTATIONS
    others = known.get("additionalProperties", True)
    if known.keys() & {"properties", "patternProperties"} or names.get("type", "string") != "string":
        return False
    listed: Any = [names["const"]] if "const" in said else names.get("enum")
    if said - {"type"} in ({"const"}, {"enum"}) and _texts(listed):
        known["properties"] = dict.fromkeys(listed, others)
    elif said - {"type"} == {"pattern"} and isinstance(names["pattern"], str) and not LOOKS.search(names["pattern"]):
        known["patternProperties"] = {names["pattern"]: others}
    else:
        return False
    known["additionalProperties"] = False
    return True


def _unique(known: dict[str, Any], target: Callable[[str], Any]) -> bool:
    """An array of different values of an `enum` has no more items than that has values; few are written out."""
    items = known.get("items")
    if isinstance(items, dict) and items.keys() - ANNOTATIONS == {"$ref"} and str(items["$ref"]).startswith("#/"):
        items = target(items["$ref"])
    if not isinstance(items, dict) or items.keys() - ANNOTATIONS - {"type"} != {"enum"} or not _texts(items["enum"]):
        return False
    if known.keys() & {"prefixItems", "enum", "const"} or items.get("type", "string") != "string":
        return False
    values = list(dict.fromkeys(items["enum"]))
    least, most = known.get("minItems", 0), known.get("maxItems", len(values))
    if not isinstance(least, int) or not isinstance(most, int):
        return False
    known["maxItems"] = most = min(most, len(values))
    if len(values) > MOST_UNIQUE or not 0 <= least <= most or sum(map(len, values)) > UNIQUE_CHARACTERS:
        return False
    for keyword in ("items", "minItems", "maxItems"):
        known.pop(keyword, None)
    known["enum"] = [list(some) for count in range(least, most + 1) for some in permutations(values, count)]
    return True


def _texts(values: Any) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(value, str) for value in values)
