"""Old function calling: an answer's calls in the form that OpenAI had before tools. Pure functions.

Source: OpenAI's API reference, "Chat", `functions` and `function_call`. Between the request and the answer there are
tools only, so that admission, the model server and the log know one form.
"""

import json
from typing import Any


def in_old_form(answer: dict[str, Any]) -> dict[str, Any]:
    """A whole answer or a chunk, changed in place. The old form has one call: others are left out."""
    for choice in answer.get("choices") or []:
        said = choice.get("message") or choice.get("delta") or {}
        first = next((call for call in said.pop("tool_calls", None) or [] if not call.get("index")), None)
        if first is not None:
            said["function_call"] = first["function"]
        if choice.get("finish_reason") == "tool_calls":
            choice["finish_reason"] = "function_call"
    return answer


def chunk_in_old_form(payload: bytes) -> bytes:
    """Only chunks of calls, and the last one, are parsed. In the text of an answer these quotes are escaped."""
    if b'"tool_calls"' not in payload:
        return payload
    return json.dumps(in_old_form(json.loads(payload)), ensure_ascii=False, separators=(",", ":")).encode()
