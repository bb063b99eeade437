"""Stored responses: their owner can read them, continue them by `previous_response_id`, and delete them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sluice.domain.errors import InvalidModelRequest, NotFound
from sluice.domain.gateway.contents import expires_s
from sluice.domain.gateway.response_items import Message
from sluice.ports.gateway import TextStore

# A DynamoDB item holds 400 KB; the response, its messages and the keys must fit.
MAX_HISTORY_BYTES = 180_000


@dataclass(frozen=True)
class StoredResponse:
    response: dict[str, Any]
    messages: list[Message]  # the conversation including this response's output, without instructions


class StoredResponses:
    def __init__(self, texts: TextStore, keep_days: int) -> None:
        self._texts, self._keep_days = texts, keep_days

    def get(self, account_id: str, response_id: str, now_ms: int) -> StoredResponse:
        """Errors: NotFound (also for another account's), StoreUnavailable."""
        found = self._texts.get_texts(account_id, _key(response_id), now_ms)
        if found is None:
            raise NotFound(f"There is no response {response_id!r}.")
        return StoredResponse(json.loads(found["response"]), json.loads(found["messages"]))

    def check_size(self, messages: list[Message]) -> None:
        """Call it before the model is asked. Errors: InvalidModelRequest (too long to be stored)."""
        if len(json.dumps(messages, ensure_ascii=False).encode()) > MAX_HISTORY_BYTES:
            raise InvalidModelRequest("The conversation is too long to be stored. Send store: false.", "store")

    def put(self, account_id: str, response: Mapping[str, Any], messages: list[Message], now_ms: int) -> None:
        """Errors: StoreUnavailable."""
        texts = {
            "response": json.dumps(response, ensure_ascii=False),
            "messages": json.dumps(messages, ensure_ascii=False),
        }
        ttl_s = expires_s(now_ms, self._keep_days)
        self._texts.put_texts(account_id, _key(str(response["id"])), texts, now_ms, ttl_s)

    def delete(self, account_id: str, response_id: str, now_ms: int) -> None:
        """Errors: NotFound, StoreUnavailable."""
        self.get(account_id, response_id, now_ms)
        self._texts.delete_texts(account_id, _key(response_id))


def _key(response_id: str) -> str:
    return f"response#{response_id}"
