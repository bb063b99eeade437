"""How many mails a client may request; a refusal comes before any hash or write."""

from collections import Counter as Counts
from types import SimpleNamespace
from typing import Any

import pytest

from sluice.domain.accounts import throttles as rules
from sluice.domain.accounts.account import Account
from sluice.domain.accounts.throttles import Policy
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import TooManyAttempts
from sluice.domain.mails.mail import Kind
from sluice.services.accounts.new_passwords import NewPasswords
from sluice.services.accounts.register import Registration
from sluice.services.mails.throttle import MailThrottle
from tests.fakes.account_side import FakeAccounts

NOW_MS = 1_800_000_000_000
KNOWN = Account("usr_a", "ann@example.com", "ann@example.com", "", "hash", NOW_MS, status="active")


class CountingThrottles:
    """Accepts the free attempts and refuses all others, because no time passes here."""

    def __init__(self) -> None:
        self.taken = Counts[str]()

    def take(self, key: str, policy: Policy, now_ms: int, units: int = 1) -> Any:
        if self.taken[key] + units > policy.free:
            raise rules.refused(now_ms + 1, now_ms)
        self.taken[key] += units


def asked(throttles: Any, client: str, email: str, kind: Kind = Kind.VERIFY_EMAIL) -> bool | None:
    """Whether the mail is allowed; None when the client is refused."""
    try:
        return MailThrottle(throttles).allows(email, kind, Visitor(client, NOW_MS))
    except TooManyAttempts:
        return None


def test_one_client_gets_few_mails_of_a_kind_to_one_address_without_an_error() -> None:
    throttles = CountingThrottles()
    allowed = [asked(throttles, "192.0.2.1", "a@example.com") for _ in range(8)]
    assert allowed == [True] * 5 + [False] * 3
    assert asked(throttles, "192.0.2.1", "b@example.com") is True
    assert asked(throttles, "192.0.2.1", "a@example.com", Kind.RESET_PASSWORD) is True
    assert asked(throttles, "198.51.100.1", "a@example.com") is True  # the owner on another client


def test_a_mailbox_is_not_flooded_by_many_clients_either() -> None:
    throttles = CountingThrottles()
    allowed = [asked(throttles, f"192.0.2.{place}", "a@example.com") for place in range(15)]
    assert allowed == [True] * 10 + [False] * 5


def test_a_client_that_requests_mails_to_many_addresses_has_to_wait() -> None:
    throttles = CountingThrottles()
    answers = [asked(throttles, "192.0.2.1", f"p{place}@example.com") for place in range(102)]
    assert answers == [True] * 100 + [None] * 2
    assert asked(throttles, "198.51.100.1", "p@example.com") is True


def test_an_ipv6_network_is_one_client() -> None:
    throttles = CountingThrottles()
    answers = [asked(throttles, f"2001:db8::{place:x}", f"p{place}@example.com") for place in range(101)]
    assert answers[-1] is None and asked(throttles, "2001:db8:0:1::1", "p@example.com") is True


@pytest.mark.parametrize("email", ["ann@example.com", "nobody@example.com"])
def test_a_refused_client_costs_no_hash_and_no_write_for_any_address(email: str) -> None:
    class TooOften(MailThrottle):
        def allows(self, email_key: str, kind: Kind, visitor: Visitor, account_id: str = "", mails: int = 1) -> bool:
            raise TooManyAttempts(5)

    def hashes() -> Any:
        raise AssertionError("hashed")

    accounts = FakeAccounts(KNOWN)
    with pytest.raises(TooManyAttempts):
        Registration(
            accounts=accounts,  # type: ignore[arg-type]
            mails=None,  # type: ignore[arg-type]
            throttle=TooOften(None),  # type: ignore[arg-type]
            passwords=NewPasswords(hashes, dict),
            limits=lambda: {"rpm": 60, "tpm": 40_000, "concurrency": 4, "monthly_tokens": 1_000_000},
            site=lambda: SimpleNamespace(sign_up="open"),
        ).register(email, "correct horse battery staple", None, Visitor("192.0.2.1", NOW_MS))
    assert accounts.calls == ["by_email"]
