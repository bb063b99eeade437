"""The events of a finished response, made from what is stored of it."""

from collections.abc import Mapping
from typing import Any

from sluice.domain.gateway.responses import Assembly, Event


def replay(response: Mapping[str, Any]) -> list[Event]:
    """As if the model had written each item of the output at once. The last event has the response as it is."""
    echoed = {name: value for name, value in response.items() if name not in ("id", "created_at")}
    fresh = {**echoed, "status": "in_progress", "output": [], "usage": None, "error": None, "incomplete_details": None}
    assembly = Assembly(response["id"], response["created_at"], fresh)
    events = assembly.begin()
    for place, item in enumerate(response["output"]):
        delta = _delta(item, place)
        if delta:
            events += assembly.chunk({"choices": [{"delta": delta}]})
    if response["status"] in ("completed", "incomplete"):
        events += assembly.end()[:-1]
    return [*events, ending(response, assembly.sequence)]


def ending(response: Mapping[str, Any], sequence: int) -> Event:
    return {"type": f"response.{response['status']}", "sequence_number": sequence, "response": response}


def _delta(item: Mapping[str, Any], place: int) -> dict[str, Any]:
    if item["type"] == "message":
        return {"content": item["content"][0]["text"]}
    if item["type"] == "reasoning":
        return {"reasoning_content": item["content"][0]["text"]}
    if item["type"] == "function_call":
        function = {"name": item["name"], "arguments": item["arguments"]}
        return {"tool_calls": [{"index": place, "id": item["call_id"], "function": function}]}
    return {}
