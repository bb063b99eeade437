"""Throttles on a real store, by service and over HTTP: exact limits, growing waits, no lock-out."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from sluice.domain.accounts import throttles as rules
from sluice.domain.accounts.throttles import Policy
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import TooManyAttempts
from tests.integration.accounts.world import PASSWORD, World, switch_on_throttles

SECOND, NOW = 1000, 1_800_000_000_000
POLICY = Policy("test", free=3, first_seconds=2, ceiling_seconds=5, forget_seconds=60)
ME, STRANGER = "192.0.2.1", "198.51.100.9"


@pytest.fixture
def throttles(world: World) -> Any:
    from sluice import settings
    from sluice.adapters.accounts.throttles import DynamoThrottles

    return DynamoThrottles(settings.common().table_prefix)


def wait_s(throttles: Any, key: str, now_ms: int, policy: Policy = POLICY) -> int:
    """0 when the attempt was accepted, else the wait in seconds."""
    try:
        throttles.take(key, policy, now_ms)
    except TooManyAttempts as refused:
        return refused.retry_after_seconds
    return 0


def test_after_the_free_attempts_waits_grow_and_are_long_enough(throttles: Any) -> None:
    now = NOW
    assert [wait_s(throttles, "k", now) for _ in range(4)] == [0, 0, 0, 2]
    assert wait_s(throttles, "k", now + 1999) == 1
    for wait in (2, 4, 5, 5):
        now += wait * SECOND
        assert wait_s(throttles, "k", now) == 0  # after the stated wait
        expected = {2: 4, 4: 5, 5: 5}[wait]
        assert wait_s(throttles, "k", now) == expected
        assert wait_s(throttles, "k", now + expected * SECOND - 1) == 1


def test_an_attempt_during_the_wait_does_not_lengthen_it(throttles: Any) -> None:
    for _ in range(3):
        throttles.take("k", POLICY, NOW)
    assert {wait_s(throttles, "k", NOW) for _ in range(20)} == {2}
    assert wait_s(throttles, "k", NOW + 2 * SECOND) == 0


def test_attempts_are_forgotten_after_a_quiet_time(throttles: Any) -> None:
    for _ in range(3):
        throttles.take("k", POLICY, NOW)
    later = NOW + 60 * SECOND
    assert [wait_s(throttles, "k", later) for _ in range(4)] == [0, 0, 0, 2]


def test_of_many_concurrent_attempts_exactly_the_free_ones_are_accepted(throttles: Any) -> None:
    with ThreadPoolExecutor(16) as pool:
        waits = list(pool.map(lambda _: wait_s(throttles, "k", NOW), range(16)))
    assert waits.count(0) == 3 and set(waits) <= {0, 1, 2}


def test_of_many_concurrent_attempts_after_a_wait_one_is_accepted(throttles: Any) -> None:
    for _ in range(3):
        throttles.take("k", POLICY, NOW)
    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda _: wait_s(throttles, "k", NOW + 2 * SECOND), range(8)))
    assert waits.count(0) == 1


def test_a_policy_with_one_free_attempt_waits_after_the_first(throttles: Any) -> None:
    once = Policy("test", free=1, first_seconds=2, ceiling_seconds=5, forget_seconds=60)
    assert [wait_s(throttles, "k", NOW, once) for _ in range(2)] == [0, 2]


def test_a_success_clears_the_attempts_and_is_remembered(throttles: Any) -> None:
    for _ in range(3):
        throttles.take("k", POLICY, NOW)
    throttles.succeeded("k", NOW)
    assert [wait_s(throttles, "k", NOW) for _ in range(4)] == [0, 0, 0, 2]
    assert throttles.peek("k").good_until_ms == NOW + rules.GOOD_HISTORY_MS
    assert wait_s(throttles, "k", NOW + 61 * SECOND) == 0
    assert throttles.peek("k").good_until_ms == NOW + rules.GOOD_HISTORY_MS


def test_a_returned_attempt_does_not_count_and_the_count_never_goes_below_zero(throttles: Any) -> None:
    for _ in range(10):
        throttles.take("k", POLICY, NOW)
        throttles.give_back("k", NOW)
    throttles.give_back("k", NOW)
    throttles.give_back("never seen", NOW)
    assert (throttles.peek("k").count, throttles.peek("never seen").count) == (0, 0)


class Door:
    """Login attempts from chosen clients at chosen times, through the service and not over HTTP."""

    def __init__(self, world: World, throttles: Any) -> None:
        self.world, self.throttles, self.now = world, throttles, NOW

    def knock(self, email: str, client: str, *, right: bool = False) -> int:
        """0 if the throttles allowed the attempt, else the wait in seconds."""
        from sluice.domain.errors import InvalidCredentials
        from sluice.wiring.accounts import login

        bound = replace(login(), passwords=QUICK, throttles=self.throttles)
        try:
            bound.log_in(email, PASSWORD if right else "wrong wrong wrong", Visitor(client, self.now))
        except TooManyAttempts as refused:
            return refused.retry_after_seconds
        except InvalidCredentials:
            assert not right
        return 0


class QuickHashes:
    """Compares plain text instead of hashes, because only the throttles are tested here."""

    def hash(self, password: str, salt: bytes | None = None) -> str:
        return password

    def verify(self, password_hash: str | None, password: str) -> bool:
        return password_hash is not None and password == PASSWORD


QUICK = QuickHashes()


@pytest.fixture
def door(world: World, throttles: Any) -> Iterator[Door]:
    yield Door(world, throttles)


def test_a_guesser_waits_longer_each_time_and_the_owner_on_another_client_does_not(door: Door) -> None:
    email = door.world.account().email
    assert [door.knock(email, STRANGER) for _ in range(10)] == [0] * 10
    for expected in (1, 2, 4, 8, 16):
        assert door.knock(email, STRANGER) == expected
        assert door.knock(email, STRANGER, right=True) == expected  # the right password does not skip the wait
        assert door.knock(email, ME, right=True) == 0
        door.now += expected * SECOND
        assert door.knock(email, STRANGER) == 0


def test_an_attack_from_many_addresses_removes_free_attempts_but_locks_nobody_out(door: Door) -> None:
    email = door.world.account().email
    for place in range(60):
        door.knock(email, f"198.51.100.{place}")
    assert [door.knock(email, "203.0.113.5") for _ in range(2)] == [0, 1]  # no longer ten free attempts
    assert door.knock(email, ME, right=True) == 0
    assert door.knock(email, ME, right=True) == 0


def test_attempts_on_many_accounts_from_one_address_wait_seconds_and_known_users_do_not(door: Door) -> None:
    known, new = door.world.account().email, door.world.account().email
    assert door.knock(known, STRANGER, right=True) == 0
    waits = [door.knock(f"nobody{place}@example.com", STRANGER) for place in range(52)]
    assert waits[:50] == [0] * 50 and waits[50] == 1
    assert door.knock(known, STRANGER, right=True) == 0  # the same client, with an earlier successful login
    wait = door.knock(new, STRANGER, right=True)
    assert 1 <= wait <= 5
    door.now += wait * SECOND
    assert door.knock(new, STRANGER, right=True) == 0  # after the stated wait
    assert door.knock(known, ME, right=True) == 0


def test_retry_after_is_the_longest_wait_that_applies(door: Door) -> None:
    email = door.world.account().email
    for place in range(50):
        door.knock(f"nobody{place}@example.com", STRANGER)
    door.now += 1 * SECOND
    door.knock("nobody@example.com", STRANGER)
    told = door.knock(email, STRANGER, right=True)
    door.now += told * SECOND
    assert door.knock(email, STRANGER, right=True) == 0


def test_successful_logins_are_never_throttled(door: Door) -> None:
    email = door.world.account().email
    assert {door.knock(email, ME, right=True) for _ in range(80)} == {0}


def test_unknown_and_known_addresses_are_throttled_alike(door: Door) -> None:
    known = door.world.account().email
    waits = {email: [door.knock(email, STRANGER) for _ in range(12)] for email in (known, "nobody@example.com")}
    assert waits[known] == waits["nobody@example.com"] == [0] * 10 + [1] * 2


# --- over HTTP


@pytest.fixture
def throttled(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    switch_on_throttles(monkeypatch)
    return world


def wrong_login(world: World, email: str, **headers: str) -> Any:
    return world.client.post("/auth/login", json={"email": email, "password": "wrong wrong wrong"}, headers=headers)


def test_the_eleventh_wrong_login_is_429_with_retry_after(throttled: World) -> None:
    email = throttled.account().email
    assert [wrong_login(throttled, email).status_code for _ in range(10)] == [401] * 10
    answer = wrong_login(throttled, email)
    assert (answer.status_code, answer.json["code"]) == (429, "too_many_attempts")
    assert int(answer.headers["Retry-After"]) >= 1


def test_forwarded_headers_of_untrusted_proxies_do_not_help_a_guesser(throttled: World) -> None:
    email = throttled.account().email
    answers = [wrong_login(throttled, email, **{"X-Forwarded-For": f"192.0.2.{place}"}) for place in range(11)]
    assert answers[-1].status_code == 429


def test_behind_a_trusted_proxy_clients_are_distinguished_by_the_address_it_saw(
    throttled: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sluice import settings

    monkeypatch.setenv("SLUICE_TRUSTED_PROXIES", "127.0.0.0/8, 10.0.0.0/8")
    settings.accounts.cache_clear()
    email = throttled.account().email
    for place in range(11):  # what the client itself writes in front has no effect
        last = wrong_login(throttled, email, **{"X-Forwarded-For": f"203.0.113.{place}, 192.0.2.1, 10.0.0.3"})
    assert last.status_code == 429
    assert wrong_login(throttled, email, **{"X-Forwarded-For": "192.0.2.2"}).status_code == 401


def test_guessing_the_current_password_in_a_stolen_session_is_throttled(throttled: World) -> None:
    account = throttled.account()
    headers = throttled.login(account)
    body = {"current_password": "wrong wrong wrong", "new_password": "a whole new passphrase"}
    codes = [throttled.client.post("/auth/change-password", json=body, headers=headers).status_code for _ in range(11)]
    assert codes == [401] * 10 + [429]
    assert throttled.login(account)  # and a login still works


def test_without_throttles_no_attempt_is_counted(world: World) -> None:
    email = world.account().email
    assert {wrong_login(world, email).status_code for _ in range(15)} == {401}


def test_the_throttles_table_holds_no_mail_or_ip_address(throttled: World) -> None:
    from sluice import settings
    from sluice.adapters.aws import dynamo

    email = throttled.account().email
    wrong_login(throttled, email)
    items = dynamo.client().scan(TableName=settings.common().table_prefix + "throttles")["Items"]
    assert len(items) == 3 and email not in str(items) and "127.0.0.1" not in str(items)
    assert all("ttl_s" in item for item in items)


def test_the_owner_on_the_guessers_own_address_waits_at_most_15_minutes(door: Door) -> None:
    email = door.world.account().email
    for _ in range(1_000):
        door.knock(email, STRANGER)
        door.now += SECOND // 10
    for _ in range(20):  # up to the longest wait that a patient guesser can cause
        door.now += door.knock(email, STRANGER) * SECOND
    wait = door.knock(email, STRANGER, right=True)
    assert 0 < wait <= 900
    door.now += wait * SECOND
    assert door.knock(email, STRANGER, right=True) == 0
