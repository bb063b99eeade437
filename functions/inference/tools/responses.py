"""Chat responses that may contain tool calls. The generated text is parsed while it streams."""

from typing import Any

from functions.inference.engine.jobs import TokenLogprob
from functions.inference.openai.responses import ChatShape, ResponseHead
from functions.inference.tools.parts import CallArguments, CallStart, Parser, Part, PlainText, Reasoning


class ToolChatShape(ChatShape):
    """A ChatShape that parses the text."""

    def __init__(self, head: ResponseHead, with_logprobs: bool, index: int, parser: Parser) -> None:
        super().__init__(head, with_logprobs, index)
        self._parser = parser
        self._waiting: tuple[TokenLogprob, ...] = ()
        """Log probabilities of tokens whose text the parser still holds."""

    def chunks(self, text: str, logprobs: tuple[TokenLogprob, ...]) -> list[dict[str, Any]]:
        self._waiting += logprobs
        chunks = []
        for part in self._parser.feed(text):
            chunks.append(self._chunk(self._delta(part), logprobs=self._waiting))
            self._waiting = ()
        return chunks

    def closings(self, finish_reason: str) -> list[dict[str, Any]]:
        left = [self._chunk(self._delta(part)) for part in self._parser.finish()]
        return [*left, self._chunk({}, self._reason(finish_reason))]

    def whole(self, text: str, logprobs: tuple[TokenLogprob, ...], finish_reason: str) -> dict[str, Any]:
        parts = [*self._parser.feed(text), *self._parser.finish()]
        body = super().whole(text, logprobs, self._reason(finish_reason))
        content = "".join(part.text for part in parts if isinstance(part, PlainText))
        message = body["choices"][0]["message"]
        calls = self._calls(parts)
        message["content"] = content if content or not calls else None
        if thought := "".join(part.text for part in parts if isinstance(part, Reasoning)):
            message["reasoning_content"] = thought
        if calls:
            message["tool_calls"] = calls
        return body

    def _calls(self, parts: list[Part]) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []
        for part in parts:
            if isinstance(part, CallStart):
                function = {"name": part.name, "arguments": ""}
                calls.append({"id": self._call_id(part.index), "type": "function", "function": function})
            elif isinstance(part, CallArguments):
                calls[part.index]["function"]["arguments"] += part.text
        return calls

    def _delta(self, part: Part) -> dict[str, Any]:
        match part:
            case PlainText(text):
                return {"content": text}
            case Reasoning(text):
                return {"reasoning_content": text}
            case CallStart(index, name):
                function = {"name": name, "arguments": ""}
                call = {"index": index, "id": self._call_id(index), "type": "function", "function": function}
            case CallArguments(index, text):
                call = {"index": index, "function": {"arguments": text}}
        return {"tool_calls": [call]}

    def _call_id(self, index: int) -> str:
        choice = f"{self._index}_" if self._index else ""
        return f"call_{self._head.id.removeprefix('chatcmpl-')}_{choice}{index}"

    def _reason(self, finish_reason: str) -> str:
        return "tool_calls" if self._parser.calls and finish_reason == "stop" else finish_reason
