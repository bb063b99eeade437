"""JSON schema to grammar, in bounded time.

Schemas are untrusted: llama.cpp crashes on bad grammars and keeps millions of parse states for ambiguous ones. So only
known constructs are translated; any other is refused with a 400 that names it. Generated objects have their properties
in the schema's order and no additional ones.
"""

from typing import Any

from functions.inference.errors import InvalidRequest
from functions.inference.grammar.gbnf import BASE_RULES, STRING_FORMATS, integer_range, literal
from functions.inference.grammar.parse_states import RuleShape, is_narrow

MOST_NODES = 1500
MOST_DEPTH = 48
MOST_ENUM_VALUES = 256
MOST_PROPERTIES = 100
MOST_REPEATS = 512
MOST_GRAMMAR_BYTES = 128 << 10
UNSUPPORTED = frozenset(
    {"pattern", "patternProperties", "propertyNames", "minProperties", "maxProperties", "multipleOf", "not", "if"}
    | {"then", "else", "dependentRequired", "dependentSchemas", "dependencies", "uniqueItems", "contains"}
    | {"unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef"}
)
TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")


class SchemaRefused(InvalidRequest):
    """The schema uses something that is not supported. The message says what and where."""


def grammar_of(schema: Any) -> str:
    """The grammar of the JSON texts that satisfy `schema`. Raises SchemaRefused."""
    builder = SchemaGrammar(schema)
    root = builder.root()
    return render(f"root ::= {root}", builder.rules)


class SchemaGrammar:
    """Collects the rules of one schema document. Rule names begin with `prefix`; equal schemas share a rule."""

    def __init__(self, document: Any, prefix: str = "") -> None:
        self._document = document
        self._prefix = prefix
        self.rules: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._shapes: dict[str, RuleShape] = {}
        self._refs: dict[str, str] = {}
        self._nodes = self._repeats = self._bytes = 0

    def root(self) -> str:
        """The name of the whole document's rule. Raises SchemaRefused."""
        root = self.visit(self._document, "#", 0, frozenset())
        if not is_narrow(self._shapes, root):
            raise SchemaRefused("The schema has too many alternatives that begin alike.", "response_format")
        return root

    def visit(self, schema: Any, at: str, depth: int, open_refs: frozenset[str]) -> str:
        """`open_refs`: references followed since the last output; following one again would be endless recursion."""
        self._nodes += 1
        if self._nodes > MOST_NODES or depth > MOST_DEPTH:
            raise SchemaRefused("The schema is too large or too deep.", "response_format")
        if schema is True or schema == {}:
            return "value"
        if not isinstance(schema, dict):
            raise self._refused(at, "is not a schema that any value satisfies")
        for keyword in sorted(UNSUPPORTED.intersection(schema)):
            raise self._refused(at, f"uses `{keyword}`, which is not supported")
        return self._by_keyword(schema, at, depth, open_refs)

    def _by_keyword(self, schema: dict[str, Any], at: str, depth: int, open_refs: frozenset[str]) -> str:
        if "$ref" in schema:
            return self._reference(schema["$ref"], at, depth, open_refs)
        if "const" in schema:
            return self._enum([schema["const"]], at)
        if "enum" in schema:
            return self._enum(schema["enum"], at)
        for keyword in ("anyOf", "oneOf", "allOf"):
            if keyword in schema:
                return self._union(schema, keyword, at, depth, open_refs)
        types = schema.get("type")
        if types is None:
            types = "object" if "properties" in schema else "array" if "items" in schema else None
        if types is None:
            return "value"
        names = types if isinstance(types, list) else [types]
        if schema.get("nullable") is True:
            names = [*names, "null"]
        if not names or not all(isinstance(name, str) and name in TYPES for name in names):
            raise self._refused(at, "has a `type` that is none")
        return self._alternatives([self._typed(name, schema, at, depth) for name in dict.fromkeys(names)])

    def _typed(self, name: str, schema: dict[str, Any], at: str, depth: int) -> str:
        match name:
            case "object":
                return self._object(schema, at, depth)
            case "array":
                return self._array(schema, at, depth)
            case "string":
                return self._string(schema, at)
            case "integer":
                return self._integer(schema, at)
            case "number" if any(bound in schema for bound in BOUNDS):
                raise self._refused(at, "bounds a `number`; bounds are supported for `integer` only")
        return name

    def _object(self, schema: dict[str, Any], at: str, depth: int) -> str:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        if not isinstance(properties, dict) or not isinstance(required, list):
            raise self._refused(at, "has `properties` or `required` of the wrong type")
        extra = schema.get("additionalProperties", True)
        unnamed = [key for key in required if isinstance(key, str) and key not in properties]
        properties = properties | dict.fromkeys(unnamed, extra)
        if len(properties) > MOST_PROPERTIES:
            raise self._refused(at, f"has more than {MOST_PROPERTIES} properties")
        if not properties:
            return self._map(extra, at, depth)
        values = [self.visit(value, f"{at}/{key}", depth + 1, frozenset()) for key, value in properties.items()]
        pairs = [
            (f'{literal(key)} ws ":" ws {value} ws', key in required)
            for key, value in zip(properties, values, strict=True)
        ]
        return self._rule(f'"{{" ws {self._pairs(pairs)} "}}"', RuleShape("object", values))

    def _map(self, extra: Any, at: str, depth: int) -> str:
        """An object with arbitrary keys."""
        if extra is False:
            return self._rule('"{" ws "}"', RuleShape("object", []))
        value = self.visit(extra, f"{at}/additionalProperties", depth + 1, frozenset())
        pair = f'string ws ":" ws {value} ws'
        return self._rule(f'"{{" ws ({pair} ("," ws {pair})*)? "}}"', RuleShape("object", [value]))

    def _pairs(self, pairs: list[tuple[str, bool]]) -> str:
        """Pairs in order, each optional one with two rules: one if it comes first, one if it follows a comma."""
        first, rest = "", ""
        for pair, required in reversed(pairs):
            after = self._rule(rest) if rest else ""
            begin = f"{pair} {after}".strip()
            follow = f'"," ws {begin}'
            first = begin if required else f"{begin} | {self._rule(first)}" if first else f"({begin})?"
            rest = follow if required else f"{follow} | {after}" if after else f"({follow})?"
        return f"({first})"

    def _array(self, schema: dict[str, Any], at: str, depth: int) -> str:
        fixed = schema.get("prefixItems", [])
        if not isinstance(fixed, list) or isinstance(schema.get("items"), list):
            raise self._refused(at, "has `items` or `prefixItems` of the wrong type")
        low, high = self._length(schema, "minItems", "maxItems", at)
        if fixed:
            if low > len(fixed):
                raise self._refused(at, "wants more items than `prefixItems` names")
            items = [self.visit(item, f"{at}/{n}", depth + 1, frozenset()) for n, item in enumerate(fixed)]
            separator = ' ws "," ws '
            return self._rule(f'"[" ws {separator.join(items)} ws "]"', RuleShape("array", items))
        if high == 0:
            return self._rule('"[" ws "]"', RuleShape("array", []))
        item = self.visit(schema.get("items", True), f"{at}/items", depth + 1, frozenset())
        more = f'("," ws {item} ws){{{max(0, low - 1)},{"" if high is None else high - 1}}}'
        body = f"{item} ws {more}"
        return self._rule(f'"[" ws {body if low else f"({body})?"} "]"', RuleShape("array", [item]))

    def _string(self, schema: dict[str, Any], at: str) -> str:
        low, high = self._length(schema, "minLength", "maxLength", at)
        if schema.get("format") in STRING_FORMATS:
            return self._rule(STRING_FORMATS[schema["format"]])
        if low == 0 and high is None:
            return "string"
        return self._rule(f'"\\"" char{{{low},{"" if high is None else high}}} "\\""')

    def _integer(self, schema: dict[str, Any], at: str) -> str:
        if not any(bound in schema for bound in BOUNDS):
            return "integer"
        bounds: list[Any] = [schema.get(bound) for bound in BOUNDS]
        if not all(bound is None or (isinstance(bound, int) and not isinstance(bound, bool)) for bound in bounds):
            raise self._refused(at, "has bounds that are no whole numbers")
        low, above, high, below = bounds
        lows = [value for value in (low, None if above is None else above + 1) if value is not None]
        highs = [value for value in (high, None if below is None else below - 1) if value is not None]
        try:
            return self._rule(integer_range(max(lows) if lows else None, min(highs) if highs else None))
        except ValueError as exc:
            raise self._refused(at, "allows no number") from exc

    def _length(self, schema: dict[str, Any], least: str, most: str, at: str) -> tuple[int, int | None]:
        low, high = schema.get(least, 0), schema.get(most)
        for value in (low, 0 if high is None else high):
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_REPEATS:
                raise self._refused(at, f"has a `{least}` or `{most}` that is not between 0 and {MOST_REPEATS}")
        if high is not None and low > high:
            raise self._refused(at, f"has `{least}` above `{most}`")
        self._repeats += max(low, high or 0)
        if self._repeats > 4 * MOST_REPEATS:
            raise SchemaRefused("The schema's lengths add up to too much.", "response_format")
        return low, high

    def _enum(self, values: Any, at: str) -> str:
        if not isinstance(values, list) or not 0 < len(values) <= MOST_ENUM_VALUES:
            raise self._refused(at, f"has an `enum` that is no list of 1 to {MOST_ENUM_VALUES} values")
        try:
            return self._rule(" | ".join(dict.fromkeys(literal(value) for value in values)))
        except (ValueError, RecursionError) as exc:  # NaN and infinity are not JSON
            raise self._refused(at, "has a value that is no JSON") from exc

    def _union(self, schema: dict[str, Any], keyword: str, at: str, depth: int, open_refs: frozenset[str]) -> str:
        options = schema[keyword]
        if not isinstance(options, list) or not options or (keyword == "allOf" and len(options) > 1):
            raise self._refused(at, f"uses `{keyword}` in a way that is not supported")
        if "properties" in schema:
            raise self._refused(at, f"has `properties` beside `{keyword}`, which is not supported")
        return self._alternatives(
            [self.visit(option, f"{at}/{keyword}/{n}", depth + 1, open_refs) for n, option in enumerate(options)]
        )

    def _alternatives(self, names: list[str]) -> str:
        distinct = list(dict.fromkeys(names))
        return distinct[0] if len(distinct) == 1 else self._rule(" | ".join(distinct), RuleShape("union", distinct))

    def _reference(self, ref: Any, at: str, depth: int, open_refs: frozenset[str]) -> str:
        if not isinstance(ref, str) or not ref.startswith("#"):
            raise self._refused(at, "has a `$ref` that does not point into the schema itself")
        if ref in open_refs:
            raise self._refused(at, "refers to itself without end")
        if ref not in self._refs:
            name = self._refs[ref] = (
                f"{self._prefix}ref-{len(self._refs)}"  # before the visit: a schema may contain itself
            )
            inner = self.visit(self._resolve(ref, at), ref, depth + 1, open_refs | {ref})
            self.rules[name] = inner
            self._shapes[name] = RuleShape("union", [inner])
        return self._refs[ref]

    def _resolve(self, ref: str, at: str) -> Any:
        target = self._document
        for part in ref[1:].split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(target, list) and key.isdigit() and int(key) < len(target):
                target = target[int(key)]
            elif isinstance(target, dict) and key in target:
                target = target[key]
            else:
                raise self._refused(at, f"refers to {ref[:80]}, which does not exist")
        return target

    def _rule(self, body: str, shape: RuleShape | None = None) -> str:
        if body not in self._names:
            self._names[body] = f"{self._prefix}r{len(self._names)}"
            self.rules[self._names[body]] = body
            self._bytes += len(body.encode()) + 16
            if self._bytes > MOST_GRAMMAR_BYTES:
                raise SchemaRefused("The schema is too large.", "response_format")
        if shape is not None:
            self._shapes[self._names[body]] = shape
        return self._names[body]

    @staticmethod
    def _refused(at: str, why: str) -> SchemaRefused:
        return SchemaRefused(f"The schema at {at[:120]} {why}.", "response_format")


BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")


def render(root: str, rules: dict[str, str]) -> str:
    """Grammar text: the root line, the given rules, and the rules of JSON."""
    lines = [f"{name} ::= {body}" for name, body in (rules | BASE_RULES).items()]
    return "\n".join([root, *lines]) + "\n"


def json_object_grammar() -> str:
    """The grammar of any JSON object."""
    return render("root ::= object", {})
