"""Asking the model with passages in the prompt, as many as fit; or not asking it, where there is no passage.

admitted ─ search ─┬─ nothing, and strict ─ the fixed sentence, no call, 0 tokens
                   └─ passages ─ ask ─ too long? drop from the end, ask again ─ answer
"""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sluice.domain.documents import retrieval as rules
from sluice.domain.documents.document import Passage
from sluice.domain.errors import ContextLengthExceeded
from sluice.ports.gateway import UpstreamStream
from sluice.services.documents.retrieve import Retrieval
from sluice.services.gateway.exchange import Exchange
from sluice.services.gateway.gateway import TEMPLATE_TOKENS, Gateway

KEY_BYTES = 6  # none of the passages can hold it: one that did would lose it
TOO_LONG = "The question leaves no room in the model's context for a passage to answer from."


@dataclass(frozen=True)
class Wanted:
    """What is searched for a request. `strict`: the passages only may answer."""

    store_ids: Sequence[str]
    top_k: int = rules.DEFAULT_TOP_K
    strict: bool = False
    filters: Mapping[str, Any] | None = None
    threshold: float | None = None

    @property
    def prompt_bound(self) -> int:
        """Model tokens that its passages add to a prompt at most."""
        return rules.passage_bytes(min(self.top_k, rules.MAX_TOP_K))


@dataclass(frozen=True)
class Grounded:
    """The answer on its way, what was found, and which of it the model was given."""

    events: UpstreamStream
    query: str
    found: list[Passage]
    given: list[Passage]


def ask_grounded(
    gateway: Gateway,
    retrieval: Retrieval,
    exchange: Exchange,
    model: Mapping[str, Any],
    body: Mapping[str, Any],
    wanted: Wanted,
) -> Grounded:
    """`body`: the chat request without passages. Whatever is raised, the exchange is settled by then. Errors: as
    `Retrieval.find` and `Upstream.open`; ContextLengthExceeded only where the question alone is too long."""
    try:
        query = rules.question_of(body["messages"])
        found = retrieval.find(exchange.ask.account_id, wanted.store_ids, query, wanted.top_k, wanted.filters)
        found = [one for one in found if wanted.threshold is None or one.score >= wanted.threshold]
        if wanted.strict and not found:
            created_s = gateway.clock() // 1_000_000_000
            canned = FixedAnswer(rules.NOTHING_FOUND, exchange.ask.request_id, str(body["model"]), created_s)
            return Grounded(canned, query, [], [])
        room = _room(model, body)
        passages = rules.within(found[: rules.MAX_TOP_K], bytes_each=rules.PASSAGE_BYTES, room_tokens=room)
        return _ask(gateway, exchange, body, query, found, passages, wanted.strict)
    except BaseException as exc:
        exchange.fail(exc)
        raise


def _room(model: Mapping[str, Any], body: Mapping[str, Any]) -> int | None:
    """Tokens that passages may have, as far as can be told without the model's own tokenizer."""
    context = model.get("context_window")
    if not context:
        return None
    asked = len(json.dumps([body["messages"], body.get("tools")], ensure_ascii=False).encode()) + len(rules.RULES)
    answer = min(int(body["max_tokens"]), int(context) // rules.ANSWER_SHARE)
    return int(context) - asked // rules.BYTES_A_TOKEN - answer - TEMPLATE_TOKENS


def _ask(
    gateway: Gateway,
    exchange: Exchange,
    body: Mapping[str, Any],
    query: str,
    found: list[Passage],
    passages: list[Passage],
    strict: bool,
) -> Grounded:
    key = secrets.token_hex(KEY_BYTES)
    while passages:
        asked = {**body, "messages": rules.grounded(body["messages"], passages, key=key, strict=strict)}
        try:
            return Grounded(gateway.open(exchange, "/v1/chat/completions", asked), query, found, passages)
        except ContextLengthExceeded:
            passages = rules.fewer(passages)
    if found and strict:
        raise ContextLengthExceeded(TOO_LONG, "messages")
    return Grounded(gateway.open(exchange, "/v1/chat/completions", body), query, found, [])


class FixedAnswer:
    """`sluice.ports.UpstreamStream`: an answer that no model made."""

    def __init__(self, text: str, request_id: str, model: str, created_s: int) -> None:
        self.prompt_tokens = self.completion_tokens = self.cached_tokens = 0
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
