"""Converts chat chunks to the Responses API's output items and events. Pure, without I/O.

Source: OpenAI's API reference, "Responses" and "Streaming events".
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sluice.domain.gateway.response_items import Message, messages_from, usage_of

Event = dict[str, Any]


class Assembly:
    """A response while it is generated. Each method returns the events to send; `response` is complete at the end."""

    def __init__(self, response_id: str, created_s: int, echoed: Mapping[str, Any], first_event: int = 0) -> None:
        self.response: dict[str, Any] = {
            "id": response_id,
            "object": "response",
            "created_at": created_s,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "output": [],
            "usage": None,
            **echoed,
        }
        self._suffix = response_id.removeprefix("resp_")
        self.sequence = first_event  # the number of the next event
        self._text: dict[str, Any] | None = None  # the message item being written
        self._thought: dict[str, Any] | None = None  # the reasoning item being written
        self._calls: dict[int, dict[str, Any]] = {}  # the chat delta's index → its item
        self._parts: dict[str, list[str]] = {}  # an item's id → its text; joined at the end only, so that it is linear
        self._search: dict[str, Any] | None = None
        self._citations: list[dict[str, Any]] = []
        self.finish_reason: str | None = None

    def _event(self, kind: str, **fields: Any) -> Event:
        event = {"type": kind, "sequence_number": self.sequence, **fields}
        self.sequence += 1
        return event

    def searched(
        self, query: str, results: list[dict[str, Any]] | None, cited: Sequence[tuple[str, str]]
    ) -> "Assembly":
        """Add the search that was made before the model was asked. `results`: None unless the caller requested them.
        `cited`: id and name of each file with a passage in the prompt."""
        self._search = {
            "type": "file_search_call",
            "id": f"fs_{self._suffix}",
            "status": "completed",
            "queries": [query],
            "results": results,
        }
        self._citations = [
            {"type": "file_citation", "file_id": file_id, "filename": filename}
            for file_id, filename in dict.fromkeys(cited)
        ]
        return self

    def begin(self) -> list[Event]:
        snapshot = {**self.response, "output": []}
        return [
            self._event("response.created", response=snapshot),
            self._event("response.in_progress", response=snapshot),
            *self._tell_search(),
        ]

    def _tell_search(self) -> list[Event]:
        if self._search is None:
            return []
        self.response["output"].append(self._search)
        place = self._place(self._search)
        begun = {**self._search, "status": "in_progress", "results": None}
        return [
            self._event("response.output_item.added", output_index=0, item=begun),
            self._event("response.file_search_call.in_progress", **place),
            self._event("response.file_search_call.searching", **place),
            self._event("response.file_search_call.completed", **place),
            self._event("response.output_item.done", output_index=0, item=self._search),
        ]

    def chunk(self, chunk: Mapping[str, Any]) -> list[Event]:
        events: list[Event] = []
        for choice in chunk.get("choices", []):
            delta = choice.get("delta") or {}
            if thought := delta.get("reasoning_content") or delta.get("reasoning"):
                events += self._add_thought(thought)
            logprobs = (choice.get("logprobs") or {}).get("content") or []
            if delta.get("content") or logprobs:
                events += self._add_text(delta.get("content") or "", logprobs)
            for call in delta.get("tool_calls") or []:
                events += self._add_call(call)
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
        if chunk.get("usage"):
            self.response["usage"] = usage_of(chunk["usage"])
        return events

    def _add_text(self, text: str, logprobs: list[Any]) -> list[Event]:
        events: list[Event] = []
        if self._text is None:
            item: dict[str, Any] = {
                "type": "message",
                "id": f"msg_{self._suffix}",
                "status": "in_progress",
                "role": "assistant",
                "content": [],
            }
            part: dict[str, Any] = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            events += self._add_part(item, part)
            item["content"] = [dict(part, annotations=[], logprobs=[])]
            self._text = item
        self._text["content"][0]["logprobs"] += logprobs
        place = self._wrote(self._text, text)
        events.append(
            self._event("response.output_text.delta", **place, content_index=0, delta=text, logprobs=logprobs)
        )
        return events

    def _add_thought(self, text: str) -> list[Event]:
        events: list[Event] = []
        if self._thought is None:
            item: dict[str, Any] = {
                "type": "reasoning",
                "id": f"rs_{self._suffix}",
                "status": "in_progress",
                "summary": [],
                "content": [],
                "encrypted_content": None,
            }
            events += self._add_part(item, {"type": "reasoning_text", "text": ""})
            item["content"] = [{"type": "reasoning_text", "text": ""}]
            self._thought = item
        place = self._wrote(self._thought, text)
        return [*events, self._event("response.reasoning_text.delta", **place, content_index=0, delta=text)]

    def _add_part(self, item: dict[str, Any], part: dict[str, Any]) -> list[Event]:
        added = self._add_item(item)
        return [added, self._event("response.content_part.added", **self._place(item), content_index=0, part=part)]

    def _add_call(self, delta: Mapping[str, Any]) -> list[Event]:
        events: list[Event] = []
        index, function = delta.get("index", 0), delta.get("function") or {}
        if index not in self._calls:
            item = {
                "type": "function_call",
                "id": f"fc_{self._suffix}_{index}",
                "call_id": delta.get("id") or f"call_{self._suffix}_{index}",
                "name": function.get("name") or "",
                "arguments": "",
                "status": "in_progress",
            }
            self._calls[index] = item
            events.append(self._add_item(item))
        item = self._calls[index]
        arguments = function.get("arguments") or ""
        if arguments:
            place = self._wrote(item, arguments)
            events.append(self._event("response.function_call_arguments.delta", **place, delta=arguments))
        return events

    def _add_item(self, item: dict[str, Any]) -> Event:
        self.response["output"].append(item)
        added = self._event(
            "response.output_item.added", output_index=len(self.response["output"]) - 1, item=dict(item)
        )
        return added

    def _wrote(self, item: Mapping[str, Any], text: str) -> dict[str, Any]:
        self._parts.setdefault(item["id"], []).append(text)
        return self._place(item)

    def _join(self) -> None:
        for item in self.response["output"]:
            written = "".join(self._parts.get(item["id"], ()))
            if item["type"] == "function_call":
                item["arguments"] = written
            elif item is not self._search:
                item["content"][0]["text"] = written

    def _place(self, item: Mapping[str, Any]) -> dict[str, Any]:
        index = next(at for at, other in enumerate(self.response["output"]) if other is item)
        return {"item_id": item["id"], "output_index": index}

    def end(self) -> list[Event]:
        """After the last chunk: close open items and send how the response ended."""
        self._join()
        events: list[Event] = []
        cut_short = self.finish_reason == "length"
        status = "incomplete" if cut_short else "completed"
        for item in self.response["output"]:
            if item is self._search:
                continue  # `searched` sent its events
            item["status"] = status
            place = self._place(item)
            if item["type"] == "message":
                part = item["content"][0]
                events += self._annotate(part, place)
                text = {"text": part["text"], "logprobs": part["logprobs"]}
                events.append(self._event("response.output_text.done", **place, content_index=0, **text))
                events.append(self._event("response.content_part.done", **place, content_index=0, part=part))
            elif item["type"] == "reasoning":
                part = item["content"][0]
                events.append(self._event("response.reasoning_text.done", **place, content_index=0, text=part["text"]))
                events.append(self._event("response.content_part.done", **place, content_index=0, part=part))
            else:
                call = {"name": item["name"], "arguments": item["arguments"]}
                events.append(self._event("response.function_call_arguments.done", **place, **call))
            events.append(self._event("response.output_item.done", output_index=place["output_index"], item=item))
        self.response["status"] = status
        if cut_short:
            self.response["incomplete_details"] = {"reason": "max_output_tokens"}
        events.append(self._event(f"response.{status}", response=self.response))
        return events

    def fail(self, code: str, message: str) -> list[Event]:
        """Instead of `end`: the response broke off."""
        self._break_off()
        self.response |= {"status": "failed", "error": {"code": code, "message": message}}
        return [self._event("response.failed", response=self.response)]

    def cancel(self) -> None:
        """Instead of `end`, or after it: what there is of the answer stays."""
        self._break_off()
        self.response["status"] = "cancelled"

    def _break_off(self) -> None:
        self._join()
        for item in self.response["output"]:
            if item["status"] == "in_progress":
                item["status"] = "incomplete"

    def _annotate(self, part: dict[str, Any], place: Mapping[str, Any]) -> list[Event]:
        """Annotations are at the text's end, because a small model does not say which words come from which file."""
        part["annotations"] = [{**citation, "index": len(part["text"])} for citation in self._citations]
        return [
            self._event(
                "response.output_text.annotation.added",
                **place,
                content_index=0,
                annotation_index=index,
                annotation=annotation,
            )
            for index, annotation in enumerate(part["annotations"])
        ]

    def pieces(self) -> dict[str, list[int]]:
        """As `response_replay.Pieces`."""
        return {identifier: [len(text) for text in texts] for identifier, texts in self._parts.items()}

    def kept(self) -> dict[str, Any]:
        """The response to store, without passages, because these must not outlive their files."""
        search = self._search
        output = [
            {**search, "results": None} if item is search and search else item for item in self.response["output"]
        ]
        return {**self.response, "output": output}

    def answer_messages(self) -> list[Message]:
        """The output as chat messages, for a response that continues this one."""
        return messages_from(self.response["output"]) if self.response["output"] else []
