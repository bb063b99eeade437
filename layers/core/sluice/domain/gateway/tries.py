"""How often the model server may answer one request: twice if a whole answer may have to be checked against its schema.

The model server decides whether it checks, because only it knows its grammar (ADR 86). Here a schema counts as checked
if its text has a keyword that may be, so that both tries are reserved before the first.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

MAY_BE_CHECKED = re.compile(
    r'"(?:not|if|contains|uniqueItems|propertyNames|dependentRequired|dependentSchemas|dependencies|unevaluatedProperties'
    r'|unevaluatedItems|minProperties|oneOf)":'
    r'|"format":"(?:idn-|iri|uri-|json-pointer|relative-json-pointer|regex)'
    r"|\(\?<?[=!]|\\\\[bBk1-9]"  # in a pattern
    r'|"minLength":\d{4}'
)
LOOSE_ROOTS = frozenset({"anyOf", "allOf", "oneOf", "$ref"})
"""Of a tool's parameters, which calls written in XML check afterwards."""
MAY_BE_LOOSE = 5_000
"""Characters of tools, above which the grammar may have no room for all of them."""
FAULT_TOKENS = 1_024
"""At most, of the message that tells the model what was wrong."""


def tries_of(body: Mapping[str, Any]) -> int:
    """1 or 2. `body`: a chat request that is not streamed to its caller."""
    forced = body.get("tools") if body.get("tool_choice") not in (None, "auto", "none") else None
    schemas = forced or body.get("response_format")
    if not schemas:
        return 1
    text = json.dumps(schemas, separators=(",", ":"))
    loose = any(LOOSE_ROOTS & _parameters(tool).keys() for tool in forced or ())
    return 2 if loose or len(text) > MAY_BE_LOOSE or MAY_BE_CHECKED.search(text) else 1


def _parameters(tool: Any) -> Mapping[str, Any]:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    given = function.get("parameters") if isinstance(function, Mapping) else None
    return given if isinstance(given, Mapping) else {}
