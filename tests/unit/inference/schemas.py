"""JSON schemas against the grammar: a corpus of hostile ones, and a seeded generator of others."""

import random
from typing import Any

Schema = Any


def obj(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def items(schema: Schema, least: int = 20) -> Schema:
    return {"type": "array", "minItems": least, "items": schema}


def tower(levels: int) -> Schema:
    """Two arrays to choose from at each level, alike until they end."""
    schema: Schema = {"type": "null"}
    for _ in range(levels):
        schema = {"anyOf": [{"type": "array", "items": schema}, {"type": "array", "items": schema, "minItems": 1}]}
    return schema


def deep(levels: int) -> Schema:
    schema: Schema = {"type": "null"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


def doubling(levels: int) -> Schema:
    """Each definition refers to the next one twice."""
    twice = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2, "type": "object"} for n in range(levels)}
    return {"$ref": "#/$defs/a0", "$defs": twice | {f"a{levels}": obj(x={"type": "integer"})}}


def arrays_of_self(count: int) -> Schema:
    return {"anyOf": [{"type": "array", "items": {"$ref": "#"}, "minItems": n} for n in range(count)]}


def ranges(kind: str, count: int, step: float = 1) -> Schema:
    return {"anyOf": [{"type": kind, "minimum": n * step, "maximum": 10**14 + n * step} for n in range(count)]}


def product(factors: int, size: int) -> Schema:
    return {
        "allOf": [{"anyOf": [{"type": "integer", "minimum": a * 7 + b} for b in range(size)]} for a in range(factors)]
    }


def twice(levels: int) -> Schema:
    """Each definition refers to the next one twice: for a check, ways that double."""
    defs = {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    return {"not": {"$ref": "#/$defs/a0"}, "$defs": defs | {f"a{levels}": {"type": "null"}}}


def patterns(*texts: str) -> Schema:
    return {"type": "string", "allOf": [{"pattern": text} for text in texts]}


NAMES = [f"name_{n}" for n in range(120)]


def required_lists(count: int) -> list[Schema]:
    return [{"required": [f"{n}{name}" for name in NAMES]} for n in range(count)]


FOUR = {"type": "array", "items": {"enum": list("abcd")}, "uniqueItems": True}
HOSTILE: dict[str, Schema] = {
    "a class that never ends": {"type": "string", "pattern": "[" + "\\a" * 60},
    "brackets only": {"type": "string", "pattern": "[" * 19_000},
    "a name with a class that never ends": {"patternProperties": {"[" + "\\a" * 60: {}}},
    "repeated beyond any number": {"type": "string", "pattern": "a" + "{999999999}" * 35},
    "a long constant": {"const": "a" * 148_000},
    "two long texts that begin alike": {"enum": ["a" * 70_000 + "b", "a" * 70_000 + "c"]},
    "a long required name": {"type": "object", "properties": {"a" * 100_000: {}}, "required": ["a" * 100_000]},
    "a long reference": {"$ref": "#/" + "%41" * 300_000},
    "different ones of few long texts": {"uniqueItems": True, "items": {"enum": [c * 200_000 for c in "abcd"]}},
    "200 overlapping ranges of integers": items(ranges("integer", 200), 50),
    "100 overlapping ranges of integers": items(ranges("integer", 100), 50),
    "100 overlapping ranges of numbers": items(ranges("number", 100, 37.123456789), 50),
    "256 texts that begin alike": items({"enum": [f"value number {n}" for n in range(256)]}),
    "256 long texts": items({"enum": ["abc" * 300 + str(n) for n in range(256)]}),
    "256 integers that begin alike": items({"enum": [10**14 + n * 7 for n in range(256)]}),
    "5,000 long texts": items({"enum": ["x" * 100 + str(n) for n in range(5000)]}),
    "60 levels": deep(60),
    "500 objects": {"anyOf": [obj(**{f"key{n}": {"type": "string"}}) for n in range(500)]},
    "150 objects alike": items({"anyOf": [obj(kind={}, **{f"key{n}": {}}) for n in range(150)]}),
    "150 objects alike, open": items({"anyOf": [{"required": [f"k{n}"]} for n in range(150)]}),
    "150 patterns": items({"anyOf": [{"type": "string", "pattern": f"^[a-z ]{{{n},}}x"} for n in range(1, 150)]}),
    "repetition in a repetition": {"type": "string", "pattern": "^(a|aa)+$"},
    "100,000 letters at least": {"type": "string", "pattern": "^(a{1000}){100}$"},
    "a million letters at least": {"type": "string", "pattern": "^((ab){1000}){1000}$"},
    "one letter, 100,000 times": {"type": "string", "pattern": "^a*$", "minLength": 100_000},
    "a letter as often as allowed": {"type": "string", "pattern": "^(a{1000}){19}$"},
    "five repetitions nested": {"type": "string", "pattern": "^((((a{1,50}){1,50}){1,50}){1,50}){1,50}$"},
    "a million states": {"type": "string", "pattern": "^.*a.{30}$"},
    "thousands of states": {"type": "string", "pattern": "^.*a.{12}$"},
    "60 lengths": {"type": "string", "pattern": "^(" + "|".join(f"[a-z]{{{n}}}{n}" for n in range(1, 60)) + ")*$"},
    "1,000 letters, 100 times": {"type": "string", "pattern": "^([a-z]{1,1000}-){1,100}$"},
    "ten ways through": {"type": "string", "pattern": "(a.*b|c.*d|e.*f|g.*h|i.*j|k.*l|m.*n|o.*p|q.*r|s.*t)"},
    "1,000 alternatives in a pattern": {"type": "string", "pattern": "|".join(f"a{n}.*b{n}" for n in range(1000))},
    "classes of Unicode": {"type": "string", "pattern": "^[^\\p{L}]*\\p{Lu}{50}[^\\p{L}]*$"},
    "two patterns at once": patterns("a.{30}b", "c.{30}d"),
    "twenty patterns at once": patterns(*[f"a.{{{n}}}b" for n in range(1, 20)]),
    "periods of a pattern": patterns("^(.{3})*$", "^(.{5})*.$", "^(.{7})*..$"),
    "a pattern and a length": {"type": "string", "pattern": "^.*a.{30}b.{30}c", "maxLength": 500},
    "a pattern and a format": {"type": "string", "pattern": "^.*a.{30}$", "format": "uri"},
    "patterns of names": {"type": "object", "patternProperties": {f"^k{n}[a-z]+$": {} for n in range(100)}},
    "patterns of names that overlap": {"type": "object", "patternProperties": {f"^.*{c}.{{20}}$": {} for c in "ab"}},
    "100,000 characters": {"type": "string", "minLength": 100_000},
    "any repetition": {"type": "array", "items": {"type": "null"}, "minItems": 10**9},
    "20,000 items": {"type": "array", "items": {"type": "integer"}, "minItems": 10_000, "maxItems": 20_000},
    "500 items, thrice nested": {"maxItems": 500, "items": {"maxItems": 500, "items": {"maxItems": 500}}},
    "two arrays of itself": arrays_of_self(2),
    "thirty arrays of itself": arrays_of_self(30),
    "itself": {"$ref": "#"},
    "itself or null": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
    "a tower of 6": tower(6),
    "a tower of 12": tower(12),
    "128 optional properties": {"properties": {f"property_{n}": {"type": "integer"} for n in range(128)}},
    "128 optional properties, open": {"properties": {f"p{n}": {} for n in range(128)}, "additionalProperties": {}},
    "1,400 properties": obj(**{f"p{n}": {"properties": {f"q{m}": {} for m in range(14)}} for n in range(100)}),
    "one factor": items({"type": "integer", "multipleOf": 4999}),
    "many factors": {"type": "integer", "allOf": [{"multipleOf": n} for n in (7, 11, 13, 17, 19, 23)]},
    "many factors to choose from": items({"anyOf": [{"type": "integer", "multipleOf": n} for n in range(2, 150)]}),
    "small factors to choose from": items({"anyOf": [{"type": "number", "multipleOf": n} for n in (6, 7, 8, 0.9)]}),
    "a factor in a range": {"type": "number", "multipleOf": 0.037, "minimum": -1234.567, "maximum": 98765432.1},
    "a product of 10,000": product(4, 10),
    "a product of 27,000": product(3, 30),
    "a product of objects": {"allOf": [{"anyOf": [{"required": [f"a{a}{b}"]} for b in range(12)]} for a in range(3)]},
    "a constant of 10,000 members": {"const": list(range(10_000))},
    "a product inside": {"allOf": [{"properties": {"a": one}} for one in product(3, 30)["allOf"]]},
    "9,000 required names": {"type": "object", "required": [f"r{n}" for n in range(9_000)]},
    "required names to choose from": {"required": NAMES, "anyOf": required_lists(120)},
    "required names, all of": {"type": "object", "allOf": required_lists(30)},
    "a pattern of 180,000 characters": {"type": "object", "patternProperties": {"(a|bc)" * 30_000: {"type": "string"}}},
    "the least integer": {"enum": [-(2**63)]},
    "integers too large": {"anyOf": [{"const": 2**63}, {"minimum": 1e300}, {"type": "integer", "maximum": -(10**22)}]},
    "doubling references": doubling(12),
    "every format": items({"anyOf": [{"format": name} for name in ("uuid", "email", "uri", "ipv6", "date-time")]}),
    "many properties at least": {"type": "object", "minProperties": 500, "maxProperties": 1000},
    "doubling references that are checked": twice(30),
    "ways just below the bound": twice(7),
    "a look ahead that backtracks": {"type": "string", "pattern": "^(?=(a|aa)+$)(a|aa)+b$"},
    "different items": FOUR,
    "20,000 different items": {"type": "array", "minItems": 10_000, "uniqueItems": True},
    "many different enums": obj(**{f"p{n}": FOUR for n in range(30)}),
    "contains a pattern that repeats": items({"type": "string"}) | {"contains": {"pattern": "^(a|aa)*$"}},
    "unevaluated": {"allOf": [{"properties": {f"p{n}": {}}} for n in range(100)], "unevaluatedProperties": False},
    "options that overlap": {"oneOf": [{"type": "string", "pattern": f"a.*{n}"} for n in range(50)]},
    "a condition in a condition": {"if": {"if": {"type": "null"}, "then": {"const": 1}}, "then": {"const": 2}},
    "numbers without bounds": obj(**{f"p{n}": {"type": "number"} for n in range(100)}),
    "mails and dates": items({"anyOf": [{"format": f, "maxLength": 400} for f in ("email", "date-time", "duration")]}),
    "200 objects, one of": {"oneOf": [obj(kind={"const": f"k{n}"}, v={"type": "integer"}) for n in range(200)]},
}  # fmt: skip
TEXTS = ["", "a", "red", "green", "<|im_end|>", 'quote " \\ /', "ü€😀", "\n\t", "a" * 40]
PATTERNS = ["^[A-Z]{3}$", "a", "^a|b$", "^(a|aa)*b$", "\\d{2,4}", "^[^x]{0,9}$", "^.*a.{9}$", "(?=a)", "^$", "\\."]
FORMATS = [
    "date",
    "time",
    "date-time",
    "uuid",
    "email",
    "ipv4",
    "ipv6",
    "uri",
    "hostname",
    "duration",
    "int64",
    "regex",
]
NUMBERS = [0, 1, -1, 7, 0.5, -2.25, 100, 1e3, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 1e-7, 12345678901234567890, 1e22]
NAMES = ["a", "b", "name", "kind", "x y", "$ref", "<|im_end|>", 'q"', "é", "type"]
TYPES = ["object", "array", "string", "number", "integer", "boolean", "null"]


def generated(seed: int) -> Schema:
    """The schema of this seed: every keyword occurs, alone, beside others and nested, most of them in a valid form."""
    rng = random.Random(seed)
    defs = [f"D{n}" for n in range(rng.choice([0, 0, 1, 3]))]
    schema = _schema(rng, rng.choice([0, 1, 1, 2, 3]), defs)
    if defs and isinstance(schema, dict):
        schema["$defs"] = {name: _schema(rng, 1, defs) for name in defs}
    return schema


def _schema(rng: random.Random, levels: int, defs: list[str]) -> Schema:
    if rng.random() < 0.04:
        return rng.choice([True, False, {}])
    schema: dict[str, Any] = {}
    kind = rng.choice(TYPES)
    if rng.random() < 0.85:
        schema["type"] = kind if rng.random() < 0.85 else rng.sample(TYPES, rng.randint(1, 3))
    for keyword, value in _keywords(rng, kind, levels, defs):
        schema[keyword] = value
    if rng.random() < 0.25:
        keyword, value = rng.choice(list(_keywords(rng, rng.choice(TYPES), levels, defs)) or [("title", "x")])
        schema[keyword] = value
    if levels and rng.random() < 0.25:
        keyword = rng.choice(["anyOf", "oneOf", "allOf"])
        schema[keyword] = [_schema(rng, levels - 1, defs) for _ in range(rng.choice([1, 2, 2, 3]))]
    if defs and rng.random() < 0.2:
        schema["$ref"] = "#/$defs/" + rng.choice(defs)
    if rng.random() < 0.12:
        schema["enum"] = [rng.choice([*TEXTS, *NUMBERS, None, True, [1], {"a": 1}]) for _ in range(rng.randint(1, 6))]
    if rng.random() < 0.03:
        schema |= rng.choice(
            [
                {"not": {}},
                {"uniqueItems": True},
                {"$schema": "http://json-schema.org/draft-04/schema#"},
                {"not": {"enum": ["a"]}},
                {"if": {"type": "string"}, "then": {"maxLength": 3}},
                {"contains": {"type": "integer"}},
                {"propertyNames": {"maxLength": 3}},
                {"dependentRequired": {"a": ["b"]}},
                {"unevaluatedProperties": False},
            ]
        )
    return schema


def _keywords(rng: random.Random, kind: str, levels: int, defs: list[str]) -> list[tuple[str, Any]]:
    def child() -> Schema:
        return _schema(rng, levels - 1, defs)

    some: list[tuple[str, Any]] = []
    match kind:
        case "string":
            some = [("minLength", rng.randint(0, 4)), ("maxLength", rng.choice([3, 8, 40, 2000]))]
            some += [("pattern", rng.choice(PATTERNS)), ("format", rng.choice(FORMATS)), ("const", rng.choice(TEXTS))]
        case "number" | "integer":
            low, high = sorted(rng.sample(NUMBERS, 2))
            some = [("minimum", low), ("exclusiveMinimum", low), ("maximum", high), ("exclusiveMaximum", high)]
            some += [("multipleOf", rng.choice([1, 2, 3, 0.5, 0.01, 7, 9999]))]
        case "array" if levels:
            some = [("minItems", rng.randint(0, 3)), ("maxItems", rng.choice([0, 2, 5])), ("items", child())]
            some += [("prefixItems", [child(), child()])]
        case "object" if levels:
            names = rng.sample(NAMES, rng.randint(0, 4))
            some = [("properties", {name: child() for name in names}), ("required", names[: rng.randint(0, 4)])]
            some += [("required", rng.sample(NAMES, 2)), ("additionalProperties", rng.choice([False, child()]))]
            some += [
                ("patternProperties", {"^p_": child()}),
                ("minProperties", rng.randint(0, 2)),
                ("maxProperties", 3),
            ]
    return rng.sample(some, rng.randint(0, min(3, len(some))))
