"""Ask the model with as many passages in the prompt as fit; in strict mode do not ask it if there is no passage.

admitted ─ search ─┬─ nothing, and strict ─ the fixed sentence, no call, 0 tokens
                   └─ passages ─ ask ─ too long? fewer turns, then fewer passages, ask again ─ answer
"""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sluice.domain.documents import retrieval as rules
from sluice.domain.documents.retrieval import Grounding, Sources
from sluice.domain.errors import ContextLengthExceeded
from sluice.ports.gateway import UpstreamStream
from sluice.services.documents.retrieve import Retrieval
from sluice.services.gateway.exchange import Exchange
from sluice.services.gateway.gateway import TEMPLATE_TOKENS, Gateway
from sluice.services.gateway.request import CHAT_PATH, ModelRequest

KEY_BYTES = 6  # of the random delimiter; `harmless` removes it from a passage that contains it by chance
TOO_LONG = "The question leaves no room in the model's context for a passage to answer from."


@dataclass(frozen=True)
class GroundedAnswers:
    gateway: Gateway
    retrieval: Retrieval

    def ask(
        self, exchange: Exchange, request: ModelRequest, grounding: Grounding, body: dict[str, Any]
    ) -> tuple[UpstreamStream, Sources]:
        """`body`: the chat request without passages. Old turns of a chat are left out before passages. An error settles
        nothing. Errors: as `Retrieval.find` and `Upstream.open`; ContextLengthExceeded only if there is room for no
        passage."""
        query = rules.question_of(body["messages"])
        found = self.retrieval.find(exchange.request.account_id, [query], grounding)
        if grounding.strict and not found:
            return self._nothing_found(exchange, body), Sources(query, [], [])
        room = _room_tokens(request.model, body)
        given = rules.within(found[: rules.MAX_TOP_K], bytes_each=rules.PASSAGE_BYTES, room_tokens=room)
        return self._open(exchange, request, body, Sources(query, found, given), grounding.strict)

    def _nothing_found(self, exchange: Exchange, body: Mapping[str, Any]) -> UpstreamStream:
        created_s = self.gateway.clock() // 1_000_000_000
        return FixedAnswer(rules.NOTHING_FOUND, exchange.request.request_id, str(body["model"]), created_s)

    def _open(
        self, exchange: Exchange, request: ModelRequest, body: dict[str, Any], sources: Sources, strict: bool
    ) -> tuple[UpstreamStream, Sources]:
        """Ask the model, and again with fewer passages each time the prompt is too long for it."""
        key, given = secrets.token_hex(KEY_BYTES), sources.given

        def open_(body: Mapping[str, Any]) -> UpstreamStream:
            messages = rules.grounded(body["messages"], given, key=key, strict=strict)
            return self.gateway.open(exchange, CHAT_PATH, {**body, "messages": messages})

        events = None
        while given and events is None:
            try:
                events = with_fewer_turns(request, body, open_)
            except ContextLengthExceeded:
                given = rules.fewer(given)
        if events is None:
            if sources.found and strict:
                raise ContextLengthExceeded(TOO_LONG, "messages")
            events = with_fewer_turns(request, body, partial(self.gateway.open, exchange, CHAT_PATH))
        return events, replace(sources, given=given)


def with_fewer_turns(
    request: ModelRequest, body: dict[str, Any], open_: Callable[[Mapping[str, Any]], UpstreamStream]
) -> UpstreamStream:
    """Ask, and again without the older half of a chat's turns each time the prompt is too long, the last time without
    all. `body` keeps what was sent last. Errors: as `open_`."""
    while True:
        try:
            return open_({**body})
        except ContextLengthExceeded:
            if (messages := request.shorter()) is None:
                raise
            body["messages"] = messages


def _room_tokens(model: Mapping[str, Any], body: Mapping[str, Any]) -> int | None:
    """Tokens for passages, estimated without the model's tokenizer; None if the model states no context window."""
    context = model.get("context_window")
    if not context:
        return None
    prompt = json.dumps([body["messages"], body.get("tools")], ensure_ascii=False)
    prompt_bytes = len(prompt.encode()) + len(rules.RULES)
    answer = min(int(body["max_tokens"]), int(context) // rules.ANSWER_SHARE)
    return int(context) - prompt_bytes // rules.BYTES_A_TOKEN - answer - TEMPLATE_TOKENS


class FixedAnswer:
    """`sluice.ports.gateway.UpstreamStream` of a fixed text that no model generated."""

    def __init__(self, text: str, request_id: str, model: str, created_s: int) -> None:
        self.prompt_tokens = self.completion_tokens = self.cached_tokens = 0
        self.estimated = False
        self._text = text
        self._head = {
            "id": "chatcmpl-" + request_id.removeprefix("req_"),
            "object": "chat.completion.chunk",
            "created": created_s,
            "model": model,
        }

    def __iter__(self) -> Iterator[bytes]:
        yield self._chunk({"role": "assistant", "content": self._text}, None)
        yield self._chunk({}, "stop")
        usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        yield _encoded({**self._head, "choices": [], "usage": usage})

    def _chunk(self, delta: Mapping[str, Any], reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return _encoded({**self._head, "choices": [choice]})

    def close(self) -> None:
        pass


def _encoded(chunk: Mapping[str, Any]) -> bytes:
    return json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode()
