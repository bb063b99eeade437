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
        choice = _choice(item, place)
        if choice:
            events += assembly.chunk({"choices": [choice]})
    if response["status"] in ("completed", "incomplete"):
        events += assembly.end()[:-1]
    return [*events, ending(response, len(events))]


def ending(response: Mapping[str, Any], sequence: int) -> Event:
    return {"type": f"response.{response['status']}", "sequence_number": sequence, "response": response}


def _choice(item: Mapping[str, Any], place: int) -> dict[str, Any]:
    if item["type"] == "message":
        part = item["content"][0]
        return {"delta": {"content": part["text"]}, "logprobs": {"content": part.get("logprobs")}}
    if item["type"] == "reasoning":
        return {"delta": {"reasoning_content": item["content"][0]["text"]}}
    if item["type"] == "function_call":
        function = {"name": item["name"], "arguments": item["arguments"]}
        return {"delta": {"tool_calls": [{"index": place, "id": item["call_id"], "function": function}]}}
    return {}
