"""An admin's changes beside concurrent ones: conditional writes, retries, and one audit event for each."""

from collections.abc import Mapping
from typing import Any

import pytest

from sluice.domain.accounts.account import Account
from sluice.domain.accounts.audit import AuditEvent
from sluice.domain.errors import Conflict, NotFound, StoreUnavailable
from sluice.domain.gateway.admission import Grant, Limits
from sluice.services.operations.admin import ATTEMPTS, Actor, Administration

ANN = Account("usr_ann", "a@example.com", "a@example.com", "Ann", "<hash>", 1, status="active", verified_ms=2)
BOSS = Actor("usr_boss", "192.0.2.1")
LIMITS = Limits(60, 40_000, 4, 1_000_000)


class Stores:
    """All four stores, with the writes in their order. Before each of our first `rivals` writes, a rival's comes."""

    def __init__(self, account: Account | None = ANN, rivals: int = 0) -> None:
        self.account, self.rivals, self.limits = account, rivals, LIMITS
        self.done: list[str] = []
        self.events: list[AuditEvent] = []
        self.log_away = False

    def get(self, account_id: str) -> Account | None:
        return self.account

    def grant(self, account_id: str) -> Grant | None:
        return Grant(account_id, {}, "good", self.limits) if self.account else None

    def set_standing(self, account_id: str, standing: str) -> str:
        self.done.append(standing)
        return "good"

    def set_status(self, account: Account, status: str) -> None:
        self._rival()
        self.done.append(f"account {status}")

    def set_limits(
        self,
        account_id: str,
        before: Limits,
        after: Limits,
        own: Mapping[str, int],
        own_before: Mapping[str, int] | None = None,
    ) -> None:
        if self.rivals:
            self.limits = Limits(before.rpm + 1, before.tpm, before.concurrency, before.monthly_tokens)
        self._rival()
        self.limits, self.own = after, own

    def put(self, event: AuditEvent) -> None:
        if self.log_away:
            raise StoreUnavailable()
        self.events.append(event)

    def _rival(self) -> None:
        if self.rivals:
            self.rivals -= 1
            raise Conflict()


def administration(stores: Any) -> Administration:
    return Administration(stores, stores, stores, stores)


def test_suspending_closes_the_grant_first_and_restoring_opens_it_last() -> None:
    stores = Stores()
    administration(stores).suspend(BOSS, "usr_ann", 5)
    assert stores.done == ["suspended", "account suspended"]
    stores = Stores(Account(**{**vars(ANN), "status": "suspended"}))
    administration(stores).restore(BOSS, "usr_ann", 5)
    assert stores.done == ["account active", "good"]


def test_concurrent_changes_of_limits_are_kept_and_the_audit_log_is_right() -> None:
    stores = Stores(rivals=2)
    administration(stores).set_limits(BOSS, "usr_ann", {"tpm": 7}, 5)
    assert (stores.limits, stores.own) == (Limits(62, 7, 4, 1_000_000), {"tpm": 7})
    (event,) = stores.events
    assert (event.before["rpm"], event.after["rpm"], event.after["tpm"]) == (62, 62, 7)


def test_an_admin_who_loses_every_race_gets_a_conflict_and_nothing_is_logged() -> None:
    for deed in ("suspend", "set_limits"):
        stores = Stores(rivals=ATTEMPTS)
        arguments = ({"rpm": 1},) if deed == "set_limits" else ()
        with pytest.raises(Conflict):
            getattr(administration(stores), deed)(BOSS, "usr_ann", *arguments, 5)
        assert stores.events == []


def test_an_unavailable_audit_log_is_an_error_after_the_change() -> None:
    stores = Stores()
    stores.log_away = True
    with pytest.raises(StoreUnavailable):
        administration(stores).suspend(BOSS, "usr_ann", 5)
    assert stores.done == ["suspended", "account suspended"]


@pytest.mark.parametrize("account", [None, Account(**{**vars(ANN), "status": "deleting"})])
def test_a_missing_or_deleting_account_is_not_found(account: Account | None) -> None:
    for deed, *arguments in (("suspend",), ("restore",), ("set_limits", {"rpm": 1}), ("set_role", "admin")):
        stores = Stores(account)
        with pytest.raises(NotFound):
            getattr(administration(stores), deed)(BOSS, "usr_ann", *arguments, 5)
        assert stores.done == [] and stores.events == []
