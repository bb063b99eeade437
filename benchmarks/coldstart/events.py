"""The first event of each function, which uses its store, its keys and its mail server."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.aws.runtime.events import SCHEDULE_EVENT, api_event, stream_event
from tests.aws.runtime.town import Town
from tests.integration.accounts.world import PASSWORD


@dataclass(frozen=True)
class First:
    function: str
    what: str
    event: Callable[[], dict[str, Any]]  # a new event for each run, because most work only once
    status: int | None = None  # of the HTTP response; None for event functions

    def check(self, answer: Any) -> None:
        """Raises RuntimeError when the event failed, because its figures would be meaningless."""
        told = answer.get("statusCode", answer.get("batchItemFailures") or None)
        if told != self.status:
            raise RuntimeError(f"{self.function}, {self.what}: {answer!r}")


def first_events(town: Town) -> list[First]:
    person, admin = town.newcomer(), town.newcomer(role="admin")
    own = person.logged_in

    def get(path: str, **headers: str) -> Callable[[], dict[str, Any]]:
        return lambda: api_event("GET", path, **headers)

    def register() -> dict[str, Any]:
        return api_event(
            "POST", "/auth/register", {"email": f"u{secrets.token_hex(6)}@example.com", "password": PASSWORD}
        )

    def login() -> dict[str, Any]:
        return api_event("POST", "/auth/login", {"email": person.email, "password": PASSWORD})

    def issue() -> dict[str, Any]:
        return api_event("POST", "/tokens", {"name": "laptop"}, **town.newcomer().logged_in)

    return [
        First("RegistrationFunction", "POST /auth/register", register, 202),
        First("VerificationFunction", "POST /auth/verify-email", lambda: _verify(town), 200),
        First("AccountsFunction", "GET /account", get("/account", **own), 200),
        First("AccountsFunction", "POST /auth/login", login, 200),
        First("UsageFunction", "GET /usage", get("/usage", **own), 200),
        First("TokensFunction", "GET /tokens", get("/tokens", **own), 200),
        First("TokensFunction", "POST /tokens", issue, 201),
        First("ChatsFunction", "GET /chats", get("/chats", **own), 200),
        First("AdminFunction", "GET /admin/users", get("/admin/users", **admin.logged_in), 200),
        First("WebFunction", "GET /", get("/"), 200),
        First("MailerFunction", "one mail", lambda: _mail(town)),
        First("MeteringFunction", "one record", lambda: _record(person.account_id)),
        First("SweeperFunction", "one minute", lambda: SCHEDULE_EVENT),
    ]


def _mail(town: Town) -> dict[str, Any]:
    return stream_event("mails", {"mail_id": town.registered()[1]})


def _verify(town: Town) -> dict[str, Any]:
    from sluice.adapters.tokens.keys import mailed_code_key
    from sluice.domain.mails import mailed_codes
    from sluice.domain.mails.mail import Kind

    account_id, mail_id = town.registered()
    code = mailed_codes.make(mailed_code_key(), Kind.VERIFY_EMAIL, mail_id, account_id)
    return api_event("POST", "/auth/verify-email", {"token": code})


def _record(account_id: str) -> dict[str, Any]:
    from sluice.domain.ids import request_id
    from sluice.domain.periods import period_of
    from sluice.domain.usage.ledger import LedgerRecord
    from sluice.wiring import stores

    at_ms = time.time_ns() // 1_000_000
    counts: dict[str, Any] = {"prompt_tokens": 10, "completion_tokens": 2, "cached_tokens": 0, "cost_micro_usd": 1}
    named = {"account_id": account_id, "request_id": request_id(at_ms)}
    how: dict[str, Any] = {"model": "demo", "endpoint": "chat.completions", "stream": True, "status": 200}
    when: dict[str, Any] = {"created_ms": at_ms, "response_time_ms": 40, "ttft_ms": 7, "period": period_of(at_ms)}
    record = LedgerRecord(
        token_id="tok_a", finish_reason="stop", settled_by="gateway", **named, **how, **when, **counts
    )
    stores.hot_store().put_record(record)
    return stream_event("ledger", named)
