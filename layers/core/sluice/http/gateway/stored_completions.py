"""Chat completions that are stored because their caller asked for it: while they are answered, and afterwards."""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Literal

from flask import request
from pydantic import Field

from sluice.domain.errors import SluiceError
from sluice.domain.gateway import chunks
from sluice.http.fields import Loose, PageQuery
from sluice.http.gateway.bearer import authenticate
from sluice.http.gateway.requests import ChatBody, CompletionBody, Metadata
from sluice.http.gateway.streaming import ChatDialect
from sluice.http.operation import parse_body, validated
from sluice.services.gateway.answer import Answer
from sluice.services.gateway.stored_completions import Wanted
from sluice.wiring.gateway import gateway, stored_completions

OF_METADATA = re.compile(r"metadata\[(.*)\]", re.DOTALL)


class KeptDialect:
    """Another dialect's answer under an id of ours. `on_complete` is called with the whole answer before its end is
    sent."""

    include_usage = True  # the stored answer has it, whatever the caller gets

    def __init__(self, plain: ChatDialect, own_id: str, on_complete: Callable[[dict[str, Any]], None]) -> None:
        self._plain, self._own_id, self._on_complete = plain, own_id, on_complete
        self.silence = plain.silence
        self._payloads: list[bytes] = []

    def _own(self, payload: bytes) -> bytes:
        payload = json.dumps({**json.loads(payload), "id": self._own_id}, separators=(",", ":")).encode()
        self._payloads.append(payload)
        return payload

    def passed(self, payload: bytes) -> bytes:
        return self._plain.passed(self._own(payload))

    def ending(self, held: list[bytes]) -> bytes:
        held = [self._own(payload) for payload in held]
        self._on_complete(self._plain.whole(self._payloads))
        wanted = self._plain.include_usage
        return self._plain.ending([one for one in held if wanted or not chunks.is_usage_only(json.loads(one))])

    def failed(self, error: SluiceError) -> bytes:
        return self._plain.failed(error)

    def whole(self, payloads: Iterable[bytes]) -> dict[str, Any]:
        answer = {**self._plain.whole(payloads), "id": self._own_id}
        self._on_complete(answer)
        return answer


def check_size(body: ChatBody | CompletionBody) -> None:
    """Errors: InvalidModelRequest (it is to be stored, and too long)."""
    if isinstance(body, ChatBody) and body.store:
        stored_completions().check_size(body.prompt_text())


def keeping(
    answer: Answer, body: ChatBody | CompletionBody, plain: ChatDialect, ignored: list[str]
) -> ChatDialect | KeptDialect:
    """The dialect that also stores the answer, if it is wanted. Where the account keeps no content, `store` is ignored.
    Errors: StoreUnavailable."""
    if not isinstance(body, ChatBody) or not body.store:
        return plain
    if not answer.exchange.grant.store_content:
        ignored.append("store")
        return plain
    stored, account_id = stored_completions(), answer.exchange.request.account_id
    messages, metadata, now_ms = body.prompt_text(), body.metadata or {}, gateway().now_ms()

    def store(completion: dict[str, Any]) -> None:
        stored.put(account_id, completion, messages, metadata, now_ms)

    return KeptDialect(plain, stored.new_id(account_id), store)


class StoredQuery(PageQuery):
    order: Literal["asc", "desc"] = "asc"
    model: str | None = Field(None, max_length=256)
    metadata: Metadata | None = Field(None, description="`metadata[key]=value`, of each member that it must have")


class MessagesQuery(PageQuery):
    order: Literal["asc", "desc"] = "asc"


class MetadataBody(Loose):
    metadata: Metadata | None = Field(description="replaces all that there is; null: none")


def list_completions() -> dict[str, Any]:
    claims = authenticate("inference")
    with gateway().authentication_first(claims):
        query = validated(StoredQuery, _arguments())
    gateway().check_caller(claims)
    wanted = Wanted(query.after or "", query.limit, query.order == "desc", query.model or "", query.metadata or {})
    return page_of(*stored_completions().page(claims.account_id, wanted, gateway().now_ms()))


def _arguments() -> dict[str, Any]:
    plain, metadata = {}, {}
    for name, value in request.args.items():
        if member := OF_METADATA.fullmatch(name):
            metadata[member[1]] = value
        elif name != "metadata":
            plain[name] = value
    return {**plain, "metadata": metadata}


def completion(completion_id: str) -> dict[str, Any]:
    claims = authenticate("inference")
    gateway().check_caller(claims)
    return stored_completions().get(claims.account_id, completion_id, gateway().now_ms())


def list_messages(completion_id: str) -> dict[str, Any]:
    claims = authenticate("inference")
    with gateway().authentication_first(claims):
        query = validated(MessagesQuery, request.args.to_dict())
    gateway().check_caller(claims)
    found = stored_completions().messages(claims.account_id, completion_id, gateway().now_ms())
    return sliced(found, query)


def sliced(items: list[dict[str, Any]], query: PageQuery) -> dict[str, Any]:
    """The page of these items, which are in ascending order. After an unknown id there is nothing."""
    items = items if query.order == "asc" else items[::-1]
    places = [place for place, item in enumerate(items) if item["id"] == query.after]
    rest = items[places[0] + 1 :] if places else [] if query.after else items
    page = rest[: query.limit]
    return page_of(page, len(rest) > len(page))


def page_of(page: list[dict[str, Any]], more: bool) -> dict[str, Any]:
    ends = [page[0]["id"], page[-1]["id"]] if page else [None, None]
    return {"object": "list", "data": page, "first_id": ends[0], "last_id": ends[1], "has_more": more}


def set_metadata(completion_id: str) -> dict[str, Any]:
    claims = authenticate("inference")
    with gateway().authentication_first(claims):
        body = parse_body(MetadataBody)
    gateway().check_caller(claims)
    changed = body.metadata or {}
    return stored_completions().set_metadata(claims.account_id, completion_id, changed, gateway().now_ms())


def delete_completion(completion_id: str) -> dict[str, Any]:
    claims = authenticate("inference")
    gateway().check_caller(claims)
    stored_completions().delete(claims.account_id, completion_id, gateway().now_ms())
    return {"id": completion_id, "object": "chat.completion.deleted", "deleted": True}
