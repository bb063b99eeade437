"""A whole account side in one process: the real adapters on a real store, behind Flask's test client."""

import importlib
import pkgutil
import secrets
import time
from dataclasses import dataclass, replace
from typing import Any

from flask.testing import FlaskClient

from sluice.domain.accounts.account import UNVERIFIED_MS, Account, Registered, parse_address
from sluice.domain.gateway.grants import new_grant
from sluice.domain.ids import random_id
from sluice.domain.mails.mail import Kind, new_mail
from tests.store_clients import forget_store_clients

PASSWORD = "correct horse battery staple"


@dataclass
class World:
    """`client` sends no cookies of its own: each test says what it sends."""

    app: Any
    client: FlaskClient

    def account(self, email: str = "", *, status: str = "active", password: str = PASSWORD, **more: Any) -> Account:
        """An account and its grant as after registration, and as after verification unless `status` is "pending"."""
        from sluice.wiring import peers, stores

        address = parse_address(email or f"u{secrets.token_hex(4)}@example.com")
        now_ms = time.time_ns() // 1_000_000
        mail = new_mail(
            Kind.VERIFY_EMAIL, account_id=(account_id := random_id("usr_")), to=address.given, now_ms=now_ms
        )
        password_hash = peers.password_hashes().hash(password)
        pending = {
            "registrations": {mail.mail_id: Registered(password_hash, "Ann", address.given, now_ms, mail.expires_ms)},
            "ttl_s": (now_ms + UNVERIFIED_MS) // 1000,
        }
        account = Account(
            account_id=account_id,
            email=address.given,
            email_key=address.key,
            name="Ann",
            password_hash=password_hash,
            created_ms=now_ms,
            status=status,  # type: ignore[arg-type]
            verified_ms=None if status == "pending" else now_ms,
            **(pending if status == "pending" else {}),
            **more,
        )
        grant = new_grant(
            account.account_id, rpm=60, tpm=40_000, concurrency=4, monthly_tokens=1_000_000, now_ms=now_ms
        )
        if account.ttl_s:
            grant["ttl_s"] = account.ttl_s
        stores.account_store().create(account, grant, mail)
        return account

    def login(self, account: Account, password: str = PASSWORD) -> dict[str, str]:
        """Headers with a fresh session token."""
        answer = self.client.post("/auth/login", json={"email": account.email, "password": password})
        assert answer.status_code == 200, answer.json
        return {"Authorization": "Bearer " + answer.json["session"]["token"]}

    def issue(self, headers: dict[str, str], **body: Any) -> dict[str, Any]:
        answer = self.client.post("/tokens", json={"name": "laptop", **body}, headers=headers)
        assert answer.status_code == 201, answer.json
        return dict(answer.json)


def forget_everything(*, but_current: bool = False) -> None:
    """Clear all that a process caches: settings, adapters, keys. `but_current`: as `forget_store_clients`."""
    from sluice import settings
    from sluice.adapters.tokens import keys
    from sluice.wiring import stores

    if stores.hot_store._built:
        pool = stores.hot_store()._client._pool  # type: ignore[attr-defined]
        while pool._idle:
            pool._idle.pop().close()
    forget_store_clients(but_current=but_current)
    for module in (settings, keys):
        _forget(module)
    forget_wiring()


def forget_wiring(*kept: str) -> None:
    """Clear everything that the wiring has built, except in the named modules."""
    from sluice import wiring

    for found in pkgutil.iter_modules(wiring.__path__):
        if found.name not in kept:
            _forget(importlib.import_module(f"sluice.wiring.{found.name}"))


LONGER_THAN_A_TEST_SECONDS = 50


def switch_on_throttles(monkeypatch: Any) -> None:
    """Switch the throttles on for all following requests. Their first wait is longer than a busy machine may take for
    the next request, which would be accepted otherwise."""
    from sluice import settings
    from sluice.domain.accounts import throttles as rules
    from sluice.wiring import stores

    for name, policy in list(vars(rules).items()):
        if isinstance(policy, rules.Policy) and policy.first_seconds < LONGER_THAN_A_TEST_SECONDS:
            ceiling = max(policy.ceiling_seconds, LONGER_THAN_A_TEST_SECONDS)
            longer = replace(policy, first_seconds=LONGER_THAN_A_TEST_SECONDS, ceiling_seconds=ceiling)
            monkeypatch.setattr(rules, name, longer)

    monkeypatch.setenv("SLUICE_AUTH_THROTTLE", "on")
    settings.accounts.cache_clear()
    stores.throttles.cache_clear()
    forget_wiring("stores", "peers")


def _forget(module: Any) -> None:
    for member in vars(module).values():
        if hasattr(member, "cache_clear") and not isinstance(member, type):
            member.cache_clear()
