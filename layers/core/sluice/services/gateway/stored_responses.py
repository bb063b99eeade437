"""Stored responses: their owner can read them, continue them by `previous_response_id`, and delete them."""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sluice.domain.errors import InvalidModelRequest, NotFound, StoreUnavailable
from sluice.domain.gateway.contents import expires_s
from sluice.domain.gateway.response_items import Message, items_from, messages_from
from sluice.domain.gateway.response_replay import Pieces
from sluice.domain.ids import is_id, random_id
from sluice.ports.gateway import TextStore

log = logging.getLogger("sluice.responses")

MAX_ROW_BYTES = 400_000  # a DynamoDB item holds 409,600 bytes, of which the keys and names take some hundreds
# Of what is known before the model is asked. The rest of the row is the answer's, which is in it twice.
MAX_REQUEST_BYTES = 240_000
MOST_RESPONSES = 10_000  # an account's
COUNTER = "responses"
PLACE_DIGITS = 4
MOST_REFERRED = 100  # stored responses that one request's references may name
ITEM_ID = re.compile(r"[a-z]+_([0-9a-z]+)(_\w+)?")  # of an item: with the random part of its response's id


@dataclass(frozen=True)
class StoredResponse:
    """`messages`: the conversation including this response's output, without instructions. `run`: how a background one
    is made, until it is. `pieces`: of one whose events somebody may have, so that they come again as they were."""

    response: dict[str, Any]
    messages: list[Message]
    run: dict[str, Any] | None = None
    pieces: Pieces = field(default_factory=dict)


class StoredResponses:
    """The newest 10,000 of an account, for `keep_days`.

    An account has so many places. A response's id ends in its place, which is the place of the response stored 10,000
    before it, so that storing one replaces the oldest without looking for it.
    """

    def __init__(self, texts: TextStore, keep_days: int) -> None:
        self._texts, self._keep_days = texts, keep_days

    def new_id(self, account_id: str) -> str:
        """Errors: StoreUnavailable."""
        return random_id("resp_") + self.new_place(account_id)

    def new_place(self, account_id: str) -> str:
        """Errors: StoreUnavailable."""
        return f"{self._texts.count_up(account_id, COUNTER) % MOST_RESPONSES:0{PLACE_DIGITS}d}"

    def get(self, account_id: str, response_id: str, now_ms: int) -> StoredResponse:
        """Errors: NotFound (also for another account's, and one that was replaced), StoreUnavailable."""
        found = self._texts.get_texts(account_id, _key(response_id), now_ms)
        response = json.loads(found["response"]) if found else {}
        if not found or response["id"] != response_id:
            raise NotFound(f"There is no response {response_id!r}.")
        run = json.loads(found["run"]) if "run" in found else None
        pieces = json.loads(found.get("pieces", "{}"))
        return StoredResponse(response, json.loads(found["messages"]), run, pieces)

    def input_items(self, account_id: str, response_id: str, now_ms: int) -> list[dict[str, Any]]:
        """What the response was made from, oldest first. Errors: as `get`."""
        return self._inputs(self.get(account_id, response_id, now_ms))

    def _inputs(self, stored: StoredResponse) -> list[dict[str, Any]]:
        answered = len(messages_from(stored.response["output"]))
        messages = stored.messages[: len(stored.messages) - answered]
        return items_from(messages, stored.response["id"].removeprefix("resp_"))

    def referred(self, account_id: str, items: Sequence[Mapping[str, Any]], now_ms: int) -> list[Mapping[str, Any]]:
        """The items, each reference replaced by the stored item that it names; one to reasoning is left out. Errors:
        NotFound, InvalidModelRequest (too many), StoreUnavailable."""
        known: dict[str, dict[str, Any]] = {}
        asked: set[str] = set()
        found: list[Mapping[str, Any]] = []
        for item in items:
            if item.get("type") != "item_reference":
                found.append(item)
            elif not item["id"].startswith("rs_"):
                response_id = "resp_" + match[1] if (match := ITEM_ID.fullmatch(item["id"])) else ""
                if response_id and response_id not in asked:
                    asked.add(response_id)
                    if len(asked) > MOST_REFERRED:
                        raise InvalidModelRequest(f"References to more than {MOST_REFERRED} responses.", "input")
                    stored = self.get(account_id, response_id, now_ms)
                    known |= {one["id"]: one for one in [*self._inputs(stored), *stored.response["output"]]}
                if item["id"] not in known:
                    raise NotFound(f"There is no item {item['id']!r}.")
                found.append(known[item["id"]])
        return found

    def check_size(self, echoed: Mapping[str, Any], messages: list[Message], *more: object) -> None:
        """Call it before the model is asked. Errors: InvalidModelRequest (too long to be stored)."""
        if _bytes(echoed, messages, *more) > MAX_REQUEST_BYTES:
            raise InvalidModelRequest(
                "The conversation, with what the response repeats, has more bytes than can be stored "
                f"({MAX_REQUEST_BYTES:,}). Send store: false.",
                "store",
            )

    def put(
        self,
        account_id: str,
        response: Mapping[str, Any],
        messages: list[Message],
        now_ms: int,
        *,
        run: Mapping[str, Any] | None = None,
        pieces: Pieces | None = None,
        again: bool = False,
        live: bool = False,
        keeps: bool = True,
    ) -> bool:
        """False if it is not stored, because its answer is too long or the store is away: the caller gets it anyhow.
        `again`: only in the place of what is stored of the same response. `live`: and only while it has not ended.
        `keeps`: False for a day at most, where the account keeps no content."""
        if _bytes(response, messages, run, pieces) > MAX_ROW_BYTES:
            return False
        texts = {
            "response": json.dumps(response, ensure_ascii=False),
            "messages": json.dumps(messages, ensure_ascii=False),
            "response_id": str(response["id"]),
            **({"run": json.dumps(run, ensure_ascii=False)} if run else {}),
            **({"pieces": json.dumps(pieces, separators=(",", ":"))} if pieces else {}),
        }
        try:
            ttl_s = expires_s(now_ms, self._keep_days if keeps else 1)
            key = _key(texts["response_id"])
            having = "run" if live else ""  # which nothing has that has ended
            return self._texts.put_texts(account_id, key, texts, now_ms, ttl_s, again=again, having=having)
        except StoreUnavailable:
            log.warning("a response was not stored", extra={"account_id": account_id})
            return False

    def delete(self, account_id: str, response_id: str, now_ms: int) -> None:
        """Errors: NotFound, StoreUnavailable."""
        self.get(account_id, response_id, now_ms)
        self._texts.delete_texts(account_id, _key(response_id), response_id)


def _key(response_id: str) -> str:
    """Responses of earlier versions have no place, and each an item of its own."""
    return "response#" + (response_id if is_id("resp_", response_id) else response_id[-PLACE_DIGITS:])


def _bytes(*values: object) -> int:
    return sum(len(json.dumps(value, ensure_ascii=False).encode()) for value in values)
