"""`python -m benchmarks.bounds`: fills one account to every bound, then measures each page and call.

CPU is this process's: the store is another process. Memory is Python's peak (tracemalloc), in a second round.
"""

import argparse
import os
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.bounds.filler import Amounts, fill
from sluice.adapters.aws.json_service import JsonService
from tests.conftest import aws_environment
from tests.integration.accounts.world import PASSWORD, World, forget_everything
from tests.integration.gateway.admission import engines
from tests.store_clients import make_tables

PREFIX = "bounds-"
READS = {
    "a page of chats": "/chats?limit=100",
    "the page of chats": "/my/chats",
    "a chat of 2,000 messages": "/chats/{chat}",
    "its page": "/my/chats/{chat}",
    "sessions": "/account/sessions",
    "API tokens": "/tokens",
    "the page of API tokens": "/my/tokens",
    "a page of 100 files": "/v1/files?limit=100",
    "a page of 10,000 files": "/v1/files?limit=10000",
    "a page of 100 vector stores": "/v1/vector_stores?limit=100",
    "the files of the fullest vector store": "/v1/vector_stores/{store}/files?limit=100",
    "the page of documents": "/my/documents",
    "one stored response": "/v1/responses/{response}",
    "the export": "/account/export",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bounds", description=__doc__)
    parser.add_argument("--divisor", type=int, default=1, help="fill to a part of each bound")
    options = parser.parse_args()
    with engines.dynoxide() as url, tempfile.TemporaryDirectory() as folder:
        os.environ |= aws_environment(url)
        os.environ |= {"SLUICE_TABLE_PREFIX": PREFIX, "SLUICE_DATA_DIR": folder, "SLUICE_AUTH_THROTTLE": "off"}
        forget_everything()
        make_tables(PREFIX)
        measure(world(Path(folder)), Amounts().over(options.divisor))
        forget_everything()


def world(folder: Path) -> World:
    from functions.accounts import app as accounts
    from functions.chats import app as chats
    from functions.files import app as files
    from functions.gateway import app as gateway
    from functions.tokens import app as tokens
    from functions.usage import app as usage
    from sluice.adapters.tokens.keys import ensure_keys
    from sluice.http.app import create_app

    ensure_keys(folder)
    app = create_app(each.blueprint for each in (accounts, tokens, usage, chats, gateway, files))
    return World(app, app.test_client(use_cookies=False))


def measure(made: World, amounts: Amounts) -> None:
    account = made.account()
    session = made.login(account)
    bearer = {"Authorization": f"Bearer {made.issue(session)['token']}"}
    fill(PREFIX, account.account_id, amounts)
    names = _names(made, session, bearer, account.account_id)

    def call(method: str, path: str, **more: Any) -> int:
        headers = bearer if path.startswith("/v1") else session
        answer = made.client.open(path, method=method, headers=headers, buffered=False, **more)
        return sum(map(len, answer.response))

    print("| call | answer KiB | calls of the store | CPU ms | peak MiB |\n| --- | --- | --- | --- | --- |")
    for what, path in READS.items():
        _tell(what, lambda path=path: call("GET", path.format(**names)))  # type: ignore[misc]
    _tell("one chat more (409)", lambda: call("POST", "/chats", json={}))
    _tell("log in, which ends the oldest session", lambda: len(made.login(account)))
    _tell("issue an API token, which drops the oldest row", lambda: len(made.issue(session)))
    _tell("delete a chat", lambda: call("DELETE", f"/chats/{names['chat']}"), once=True)
    _tell("delete the account", lambda: call("DELETE", "/account", json={"password": PASSWORD}), once=True)
    _tell("the sweeper, until nothing is left", _sweep, once=True)


def _sweep() -> int:
    from sluice.services.accounts.erasure import SECOND_LOOK_MS
    from sluice.wiring.accounts import erasure

    return erasure().finish(time.time_ns() // 1_000_000 + SECOND_LOOK_MS)


def _names(made: World, session: Any, bearer: Any, account_id: str) -> dict[str, str]:
    from sluice.wiring import stores

    chat = made.client.get("/chats?limit=1", headers=session).json["data"][0]["id"]
    listed = stores.vector_store_store().page(account_id, limit=1, after_id=None)
    response = next(
        one["response_id"] for one in stores.content_store().everything(account_id, 0) if "response_id" in one
    )
    return {"chat": chat, "store": listed[0].store_id, "response": response}


def _tell(what: str, call: Callable[[], int], *, once: bool = False) -> None:
    """CPU and memory in separate rounds, because tracing memory takes CPU; `once`: without the second."""
    with counted() as calls:
        started = time.process_time()
        size = call()
        spent_ms = (time.process_time() - started) * 1000
    peak = "·"
    if not once:
        tracemalloc.start()
        call()
        peak = f"{tracemalloc.get_traced_memory()[1] / 2**20:.1f}"
        tracemalloc.stop()
    print(f"| {what} | {size / 1024:,.0f} | {len(calls):,} | {spent_ms:,.0f} | {peak} |", flush=True)


@contextmanager
def counted() -> Iterator[list[str]]:
    """The operations of the store that are called meanwhile."""
    calls: list[str] = []
    real = JsonService.call

    def count(self: JsonService, operation: str, request: dict[str, Any], **more: Any) -> dict[str, Any]:
        calls.append(operation)
        return real(self, operation, request, **more)

    with patch.object(JsonService, "call", count):
        yield calls


if __name__ == "__main__":
    main()
