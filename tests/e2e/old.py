"""People of a store that an earlier version left (tests/integration/infra/migrate/old_store.py)."""

import time
from collections.abc import Callable
from typing import Any

from sluice.adapters.tokens.jwt_tokens import sign
from sluice.adapters.tokens.keys import parse_signing_key
from sluice.domain.tokens import Claims
from tests.e2e.people import ask, code_in, log_in, mails_to, newcomer, post
from tests.integration.infra.migrate import old_store

FIRST_DAY = "2026-11-01"  # no record of the fixtures is older
PATIENCE_SECONDS = 90.0  # on a stack the sweeper runs once a minute


def api_token(pem: bytes, schema: int = 1) -> str:
    """Signs the token again as that version issued it, with the id in the fixture and the deployment's key."""
    now_s = int(time.time())
    claims = Claims(
        old_store.token_id(schema),
        old_store.account_id(schema),
        now_s - 60,
        now_s + 3600,
        frozenset({"inference"}),
        None,
    )
    return sign(claims, parse_signing_key(pem, "the test's key"), "sluice")


def the_whole_path_works(base_url: str, token: str, schema: int = 1) -> None:
    """For the people of the old store, from a login to the end of an account, and for new ones."""
    ada = log_in(base_url, old_store.EMAIL, old_store.PASSWORD)
    [row] = ada.call("GET", "/tokens").json()["data"]
    assert (row["id"], row["name"], row["status"]) == (old_store.token_id(schema), "old laptop", "active")

    ada.api_token = token
    assert "Paris" in ask(ada, "What is the capital of France?").json()["choices"][0]["message"]["content"]
    chat = ada.call("POST", "/chats", json={"title": "new"}).json()
    assert ada.call("POST", f"/chats/{chat['id']}/messages", json={"content": "What is 3 + 4?"}).status_code == 200

    # three from the fixture, one whose holder had died and which the sweeper settles, and the two just made
    eventually(lambda: usage(ada)["requests"] == 6)
    settled = [int(item["prompt_tokens"]["N"]) for item in old_store.old_items("ledger", schema)]
    assert len(settled) == 3 and usage(ada)["prompt_tokens"] >= sum(settled)
    logs = ada.call("GET", f"/usage/logs?from={FIRST_DAY}").json()["data"]
    assert any("What?" in entry.get("prompt", "") and entry.get("response") for entry in logs)

    assert post(base_url, "/auth/resend-verification", {"email": old_store.UNVERIFIED}).status_code == 202
    eventually(lambda: redeems_newest_code(base_url))  # the first mail may be old, with a dead code
    log_in(base_url, old_store.UNVERIFIED, old_store.PASSWORD)

    assert ada.call("POST", f"/tokens/{old_store.token_id(schema)}/revoke").status_code == 200
    assert ask(ada, "Still there?").status_code == 401
    assert ask(newcomer(base_url), "What is 9 + 8?").status_code == 200
    assert ada.call("DELETE", "/account", json={"password": old_store.PASSWORD}).status_code == 204


def items_without_schema(client: Any, prefix: str) -> list[Any]:
    """All items in the store without a schema number."""
    dumped = old_store.dump(client, prefix)
    assert sum(map(len, dumped.values())) > 20
    return [(table, item) for table, items in dumped.items() for item in items if "schema" not in item]


def redeems_newest_code(base_url: str) -> bool:
    code = code_in(mails_to(base_url, old_store.UNVERIFIED, "verify_email")[0])
    return post(base_url, "/auth/verify-email", {"token": code}).status_code == 200


def usage(person: Any) -> dict[str, Any]:
    return dict(person.call("GET", f"/usage?from={FIRST_DAY}").json()["total"])


def eventually(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)
