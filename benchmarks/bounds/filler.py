"""Fills an account to its bounds, past the services, because these would take much longer."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from sluice.adapters import chats
from sluice.adapters.aws import dynamo
from sluice.adapters.documents import rows
from sluice.adapters.mails.store import mail_item
from sluice.domain.accounts.sessions import MOST_SESSIONS, Session
from sluice.domain.chats.chat import MOST_CHATS, MOST_MESSAGES, SYSTEM_CHARACTERS, Chat, ChatMessage
from sluice.domain.documents.document import MOST_ATTACHMENTS, MOST_VECTOR_STORES
from sluice.domain.documents.uploads import FILE, STORE, new_id
from sluice.domain.ids import random_id, request_id
from sluice.domain.mails.mail import Kind, new_mail
from sluice.domain.tokens import MOST_TOKENS, ApiToken
from sluice.services.gateway.stored_responses import MOST_RESPONSES

DAY_S = 24 * 3600
HOUR_MS = 3_600_000  # by which rows are older than what was made before them, however long ago


@dataclass(frozen=True)
class Amounts:
    """How many of each an account gets."""

    chats: int = MOST_CHATS
    messages: int = MOST_MESSAGES  # of the first chat
    responses: int = MOST_RESPONSES
    logged: int = 10_000  # not bounded: what 30 days of requests left
    sessions: int = MOST_SESSIONS
    tokens: int = MOST_TOKENS
    mails: int = 1_000
    files: int = 10_000
    stores: int = MOST_VECTOR_STORES
    attached: int = MOST_ATTACHMENTS

    def over(self, divisor: int) -> "Amounts":
        return Amounts(**{name: amount // divisor for name, amount in asdict(self).items()})


def fill(prefix: str, account_id: str, amounts: Amounts) -> None:
    """`prefix`: of the tables."""
    now_ms = time.time_ns() // 1_000_000
    own = {"account_id": account_id}
    contents = (*_chats(account_id, amounts, now_ms), *_texts(account_id, amounts, now_ms))
    _put(prefix + "contents", (dynamo.item({**own, **one}) for one in contents))
    _put(prefix + "documents", (dynamo.item({**own, "schema": 1, **one}) for one in _documents(amounts, now_ms)))
    mails = (new_mail(Kind.NEW_SIGN_IN, to="ann@example.com", now_ms=now_ms, **own) for _ in range(amounts.mails))
    _put(prefix + "mails", map(mail_item, mails))
    _put(prefix + "sessions", (dynamo.item(one) for one in _sessions(account_id, amounts.sessions, now_ms)))
    _put(prefix + "tokens", (dynamo.item(one) for one in _tokens(account_id, amounts.tokens, now_ms)))


def _chats(account_id: str, amounts: Amounts, now_ms: int) -> Iterator[dict[str, Any]]:
    first = ""
    for place in range(amounts.chats):
        chat_id = random_id("chat_")
        first = first or chat_id
        yield chats._chat_item(
            Chat(account_id, chat_id, f"Chat {place}", "s" * SYSTEM_CHARACTERS, None, now_ms, now_ms - place)
        )
    yield {"item_id": "chats", "held": amounts.chats, "schema": 1}
    for place in range(amounts.messages):
        message = ChatMessage(f"msg_{place:026d}", ("user", "assistant")[place % 2], "word " * 20, now_ms)
        yield chats._message_item(account_id, first, message)


def _texts(account_id: str, amounts: Amounts, now_ms: int) -> Iterator[dict[str, Any]]:
    kept = {"created_ms": now_ms, "ttl_s": now_ms // 1000 + 30 * DAY_S, "schema": 1}
    for place in range(amounts.responses):
        response_id = random_id("resp_") + f"{place:04d}"
        response = json.dumps({"id": response_id, "metadata": {f"k{n}": "x" * 512 for n in range(16)}})
        texts = {"response": response, "messages": "[]", "response_id": response_id}
        yield {"item_id": f"response#{place:04d}", **texts, **kept}
    for place in range(amounts.logged):
        yield {"item_id": request_id(now_ms - place), "prompt": "p" * 500, "response": "r" * 500, **kept}


def _documents(amounts: Amounts, now_ms: int) -> Iterator[dict[str, Any]]:
    files = [new_id(FILE, now_ms - place) for place in range(amounts.files)]
    stores = [new_id(STORE, now_ms - place) for place in range(amounts.stores)]
    common = {"created_ms": now_ms}
    for place, file_id in enumerate(files):
        told = {"filename": f"{place}.md", "purpose": "assistants", "size_bytes": 10, "sha256": "0" * 64}
        yield {"item_id": rows.file_item_id(file_id), "file_id": file_id, "status": "processed", **told, **common}
    for store_id in stores:
        told = {"store_id": store_id, "name": "store", "last_active_ms": now_ms, "metadata": "{}"}
        yield {"item_id": rows.store_item_id(store_id), **told, **common}
    pairs = ((store_id, file_id) for store_id in stores for file_id in files)
    for store_id, file_id in islice(pairs, amounts.attached):
        told = {"store_id": store_id, "file_id": file_id, "status": "completed", "usage_bytes": 10, "attributes": "{}"}
        yield {"item_id": rows.in_id(store_id, file_id), **told, **common}
        yield {"item_id": rows.of_id(file_id, store_id)}
    yield {"item_id": "held", "held_bytes": 10 * amounts.files, "held_files": amounts.files}
    yield {"item_id": "stores", "held": amounts.stores}
    yield {"item_id": "attached", "held": amounts.attached}


def _sessions(account_id: str, count: int, now_ms: int) -> Iterator[dict[str, Any]]:
    for place in range(count):
        made = Session(
            random_id("ses_"), account_id, "0" * 64, 0, now_ms - HOUR_MS - place, now_ms + DAY_S * 1000, "Firefox"
        )
        yield {**asdict(made), "ttl_s": made.expires_ms // 1000}


def _tokens(account_id: str, count: int, now_ms: int) -> Iterator[dict[str, Any]]:
    for place in range(count):
        then_ms = now_ms - HOUR_MS - place
        row = ApiToken(
            account_id, random_id("tok_"), "laptop", "abcdef", ("inference",), then_ms, then_ms, None, then_ms
        )
        yield {name: value for name, value in asdict(row).items() if value is not None}


def _put(table: str, items: Iterable[Mapping[str, Any]]) -> None:
    more = iter(items)
    while batch := [{"PutRequest": {"Item": one}} for one in islice(more, dynamo.BATCH)]:
        left: Any = {table: batch}
        while left:
            left = dynamo.client().batch_write_item(RequestItems=left).get("UnprocessedItems")
