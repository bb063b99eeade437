"""Stored chat completions (`store: true`): their owner lists, reads and deletes them, and changes their metadata."""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sluice.domain.errors import InvalidModelRequest, NotFound, StoreUnavailable
from sluice.domain.gateway.contents import expires_s
from sluice.domain.ids import RANDOM_CHARACTERS, random_id
from sluice.ports.gateway import TextStore
from sluice.services.gateway.stored_responses import MAX_REQUEST_BYTES, MAX_ROW_BYTES

log = logging.getLogger("sluice.completions")

MOST_COMPLETIONS = 1_000  # an account's
MAX_PAGE_BYTES = 4_000_000  # of a list's page, which ends with the completion that exceeds it
COUNTER = "completions"
ENTRY, TEXT = "completion#", "completion-text#"  # a list reads the entries, which are small
DIGITS = 12  # of an id's number
ID = re.compile(rf"chatcmpl-[0-9a-z]{{{RANDOM_CHARACTERS}}}[0-9]{{{DIGITS}}}")


@dataclass(frozen=True)
class Wanted:
    """A page of a list. `after`: an id, or empty."""

    after: str = ""
    limit: int = 20
    newest_first: bool = False
    model: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


class StoredCompletions:
    """The newest 1,000 of an account, for `keep_days`.

    As of stored responses, each has one of so many places, and takes it over from the one stored 1,000 before it: an
    id ends in its number. In a place are an entry (model, metadata), which is written first and deleted last, and the
    text. Each counts only beside the other one of the same completion.
    """

    def __init__(self, texts: TextStore, keep_days: int) -> None:
        self._texts, self._keep_days = texts, keep_days

    def new_id(self, account_id: str) -> str:
        """Errors: StoreUnavailable."""
        return random_id("chatcmpl-") + f"{self._texts.count_up(account_id, COUNTER):0{DIGITS}d}"

    def check_size(self, messages: str) -> None:
        """Call it before the model is asked. Errors: InvalidModelRequest (too long to be stored)."""
        if len(messages.encode(errors="replace")) > MAX_REQUEST_BYTES:
            text = f"The messages have more bytes than can be stored ({MAX_REQUEST_BYTES:,}). Send store: false."
            raise InvalidModelRequest(text, "store")

    def put(
        self, account_id: str, completion: Mapping[str, Any], messages: str, metadata: Mapping[str, str], now_ms: int
    ) -> bool:
        """False if it is not stored, because its answer is too long or the store is away: the caller has it anyhow.

        `messages`: JSON. `completion`: with an id of `new_id`."""
        told, number = json.dumps(completion, ensure_ascii=False), _number(completion["id"])
        if len((told + messages).encode(errors="replace")) > MAX_ROW_BYTES:
            return False
        own = {"response_id": str(completion["id"])}
        entry = own | {"model": str(completion.get("model", "")), "metadata": json.dumps(metadata)}
        ttl_s = expires_s(now_ms, self._keep_days)
        try:
            self._texts.put_texts(account_id, _key(ENTRY, number), entry, now_ms, ttl_s)
            text = own | {"completion": told, "messages": messages}
            self._texts.put_texts(account_id, _key(TEXT, number), text, now_ms, ttl_s)
        except StoreUnavailable:
            log.warning("a chat completion was not stored", extra={"account_id": account_id})
            return False
        return True

    def get(self, account_id: str, completion_id: str, now_ms: int) -> dict[str, Any]:
        """With `metadata`. Errors: NotFound (also another account's, and one that was replaced), StoreUnavailable."""
        entry = self._read(account_id, ENTRY, completion_id, now_ms)
        return _told(entry, self._read(account_id, TEXT, completion_id, now_ms))

    def messages(self, account_id: str, completion_id: str, now_ms: int) -> list[dict[str, Any]]:
        """What it answered, oldest first. Errors: as `get`."""
        self._read(account_id, ENTRY, completion_id, now_ms)
        given = json.loads(self._read(account_id, TEXT, completion_id, now_ms)["messages"])
        return [_message(f"{completion_id}-{place}", one) for place, one in enumerate(given)]

    def page(self, account_id: str, wanted: Wanted, now_ms: int) -> tuple[list[dict[str, Any]], bool]:
        """→ the completions, and whether there are more. Errors: InvalidModelRequest (`after`), StoreUnavailable."""
        found: list[dict[str, Any]] = []
        size = 0
        for entry in self._entries(account_id, wanted, now_ms):
            if len(found) == wanted.limit or size > MAX_PAGE_BYTES:
                return found, True
            try:
                text = self._read(account_id, TEXT, entry["response_id"], now_ms)
            except NotFound:
                continue  # replaced or deleted meanwhile
            found.append(_told(entry, text))
            size += len(text["completion"])
        return found, False

    def _entries(self, account_id: str, wanted: Wanted, now_ms: int) -> list[dict[str, str]]:
        if wanted.after and ID.fullmatch(wanted.after) is None:
            raise InvalidModelRequest("after: must be the id of a stored chat completion", "after")
        numbered = [(_number(one["response_id"]), one) for one in self._texts.list_texts(account_id, ENTRY, now_ms)]
        numbered.sort(key=lambda one: one[0], reverse=wanted.newest_first)
        if wanted.after:
            last = _number(wanted.after)
            numbered = [one for one in numbered if (one[0] < last if wanted.newest_first else one[0] > last)]
        return [
            entry
            for _, entry in numbered
            if wanted.model in ("", entry["model"]) and wanted.metadata.items() <= json.loads(entry["metadata"]).items()
        ]

    def set_metadata(
        self, account_id: str, completion_id: str, metadata: Mapping[str, str], now_ms: int
    ) -> dict[str, Any]:
        """→ as `get`. Errors: as `get`."""
        found = self.get(account_id, completion_id, now_ms)
        key, text = _key(ENTRY, _number(completion_id)), json.dumps(metadata)
        if not self._texts.set_text(account_id, key, completion_id, "metadata", text):
            raise _not_found(completion_id)
        return {**found, "metadata": dict(metadata)}

    def delete(self, account_id: str, completion_id: str, now_ms: int) -> None:
        """Errors: NotFound, StoreUnavailable."""
        self._read(account_id, ENTRY, completion_id, now_ms)
        for part in (TEXT, ENTRY):
            self._texts.delete_texts(account_id, _key(part, _number(completion_id)), completion_id)

    def _read(self, account_id: str, part: str, completion_id: str, now_ms: int) -> dict[str, str]:
        if ID.fullmatch(completion_id) is None:
            raise _not_found(completion_id)
        texts = self._texts.get_texts(account_id, _key(part, _number(completion_id)), now_ms)
        if not texts or texts["response_id"] != completion_id:
            raise _not_found(completion_id)
        return texts


def _not_found(completion_id: str) -> NotFound:
    return NotFound(f"There is no stored chat completion {completion_id!r}.")


def _number(completion_id: str) -> int:
    return int(completion_id[-DIGITS:])


def _key(part: str, number: int) -> str:
    return f"{part}{number % MOST_COMPLETIONS:04d}"


def _told(entry: Mapping[str, str], text: Mapping[str, str]) -> dict[str, Any]:
    return {**json.loads(text["completion"]), "metadata": json.loads(entry["metadata"])}


def _message(message_id: str, message: Mapping[str, Any]) -> dict[str, Any]:
    """In the form of OpenAI's list: a content of parts is in `content_parts`."""
    content = message.get("content")
    parts = content if isinstance(content, list) else None
    return {"id": message_id, **message, "content": None if parts else content, "content_parts": parts}
