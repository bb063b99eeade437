"""Admission over the model store: who is refused and why, in how many writes, and what a lost answer costs."""

import itertools
from dataclasses import replace

import pytest

from sluice.domain import errors
from sluice.domain.gateway.admission import AdmissionRequest, Limits
from sluice.domain.gateway.leases import LEASE_MS
from sluice.domain.ids import request_id
from sluice.services.gateway.admit import FLOOD_STARTS_AT, Admission
from sluice.services.gateway.settle import Outcome, settle
from tests.fakes.hot_store import FakeHotStore, grant_of

NOW_NS = 1_800_000_000_000_000_000
NOW_MS = NOW_NS // 1_000_000
SECOND_NS = 1_000_000_000
DEFAULTS = Limits(60, 40_000, 4, 1_000_000)


class World:
    def __init__(self, **limits: int) -> None:
        self.store = FakeHotStore()
        self.store.grants["usr_a"] = grant_of(now_ms=NOW_MS, **limits)
        self.took: list[int] = []
        self.admission = Admission(self.store, DEFAULTS, self.took.append)

    def ask(self, tokens: int = 100, token_id: str = "tok_a", account: str = "usr_a") -> AdmissionRequest:
        return AdmissionRequest(account, request_id(NOW_MS), token_id, tokens, "demo", "chat.completions", True)

    def change(self, **fields: object) -> None:
        self.store.grants["usr_a"] = replace(self.store.grants["usr_a"], **fields)  # type: ignore[arg-type]


def test_a_request_within_all_limits_is_admitted_in_one_write() -> None:
    world = World()
    admitted = world.admission.admit(world.ask(), NOW_NS)
    assert world.took == [1]
    assert admitted.grant.period_tokens == 100
    assert list(admitted.grant.leases) == [admitted.request.request_id]


def test_limits_the_process_has_not_seen_cost_a_second_write_once() -> None:
    world = World(rpm=7)
    world.admission.admit(world.ask(), NOW_NS)
    world.admission.admit(world.ask(), NOW_NS)
    assert world.took == [2, 1]


def test_a_revoked_api_token_is_refused_on_the_next_request() -> None:
    world = World()
    world.admission.admit(world.ask(), NOW_NS)
    world.change(live={})
    with pytest.raises(errors.InvalidApiToken, match="revoked"):
        world.admission.admit(world.ask(), NOW_NS)


def test_an_expired_api_token_is_refused() -> None:
    world = World()
    with pytest.raises(errors.InvalidApiToken, match="expired"):
        world.admission.admit(world.ask(), NOW_NS + 3600 * SECOND_NS)


def test_an_account_without_a_grant_is_refused() -> None:
    world = World()
    with pytest.raises(errors.InvalidApiToken):
        world.admission.admit(world.ask(account="usr_none"), NOW_NS)


def test_a_suspended_account_is_refused() -> None:
    world = World()
    world.change(standing="suspended")
    with pytest.raises(errors.AccountSuspended):
        world.admission.admit(world.ask(), NOW_NS)


def test_past_the_request_limit_the_wait_told_is_enough() -> None:
    world = World(rpm=3, concurrency=100)
    for _ in range(3):
        world.admission.admit(world.ask(), NOW_NS)
    with pytest.raises(errors.RateLimitExceeded) as refused:
        world.admission.admit(world.ask(), NOW_NS)
    assert refused.value.retry_after_seconds == 20
    world.admission.admit(world.ask(), NOW_NS + 20 * SECOND_NS)


def test_past_the_token_limit_the_wait_told_is_enough() -> None:
    world = World(tpm=600, concurrency=100)
    world.admission.admit(world.ask(600), NOW_NS)
    with pytest.raises(errors.RateLimitExceeded) as refused:
        world.admission.admit(world.ask(100), NOW_NS)
    assert refused.value.retry_after_seconds == 10
    world.admission.admit(world.ask(100), NOW_NS + 10 * SECOND_NS)


def test_past_the_concurrency_limit_the_hint_is_one_second() -> None:
    world = World(concurrency=2)
    running = [world.admission.admit(world.ask(), NOW_NS) for _ in range(2)]
    with pytest.raises(errors.TooManyConcurrentRequests) as refused:
        world.admission.admit(world.ask(), NOW_NS)
    assert refused.value.retry_after_seconds == 1
    settle(world.store, "usr_a", running[0].request.request_id, running[0].lease, Outcome(200, 1, 1))
    world.admission.admit(world.ask(), NOW_NS)


def test_past_the_quota_the_wait_is_until_the_month_ends() -> None:
    world = World(monthly_tokens=150, lifetime_seconds=86_400 * 40)
    world.admission.admit(world.ask(100), NOW_NS)
    with pytest.raises(errors.QuotaExceeded) as refused:
        world.admission.admit(world.ask(100), NOW_NS)
    world.admission.admit(world.ask(100), NOW_NS + refused.value.retry_after_seconds * SECOND_NS)


def test_a_new_month_starts_a_new_quota() -> None:
    world = World(monthly_tokens=100, concurrency=10)
    world.change(period=202612, period_tokens=100)
    admitted = world.admission.admit(world.ask(100), NOW_NS)
    assert (admitted.grant.period, admitted.grant.period_tokens) == (202701, 100)


def test_a_clock_behind_the_month_charges_the_month_the_grant_is_in() -> None:
    world = World()
    world.change(period=203001, period_tokens=5)
    admitted = world.admission.admit(world.ask(100), NOW_NS)
    assert (admitted.grant.period, admitted.grant.period_tokens) == (203001, 105)


@pytest.mark.parametrize(
    ("limits", "refusal"),
    [
        ({"rpm": 0}, errors.RateLimitExceeded),
        ({"tpm": 0}, errors.RateLimitExceeded),
        ({"concurrency": 0}, errors.TooManyConcurrentRequests),
        ({"monthly_tokens": 0}, errors.QuotaExceeded),
    ],
)
def test_a_limit_of_zero_allows_nothing(limits: dict[str, int], refusal: type[Exception]) -> None:
    world = World(**limits)
    for _ in range(2):  # with a wrong guess, then with a right one
        with pytest.raises(refusal):
            world.admission.admit(world.ask(), NOW_NS)
    assert world.store.grants["usr_a"].leases == {}


def test_a_raised_zero_limit_admits_at_once() -> None:
    world = World(rpm=0)
    with pytest.raises(errors.RateLimitExceeded):
        world.admission.admit(world.ask(), NOW_NS)
    world.change(limits=Limits(5, 40_000, 4, 1000))
    world.admission.admit(world.ask(), NOW_NS)


def test_more_tokens_than_the_bucket_ever_holds_is_no_429() -> None:
    world = World(tpm=1000)
    with pytest.raises(errors.InvalidModelRequest, match="1000 tokens a minute"):
        world.admission.admit(world.ask(1001), NOW_NS)


def test_a_lost_answer_charges_once() -> None:
    """The client's own retry is what the adapter does; here the caller's whole admission is repeated."""
    world = World()
    request = world.ask()
    world.store.lose_answers = 1
    with pytest.raises(errors.StoreUnavailable):
        world.admission.admit(request, NOW_NS)
    again = world.admission.admit(request, NOW_NS)
    assert again.request.request_id in again.grant.leases
    assert world.store.grants["usr_a"].period_tokens == 100


def test_expired_leases_make_room_and_leave_their_records() -> None:
    world = World(concurrency=1)
    dead = world.admission.admit(world.ask(), NOW_NS)
    later = NOW_NS + (LEASE_MS + 1) * 1_000_000
    world.admission.admit(world.ask(), later)
    record = world.store.ledger[dead.request.request_id]
    assert (record.settled_by, record.status, record.finish_reason) == ("sweeper", 500, "interrupted")


def test_the_store_away_refuses() -> None:
    world = World()
    world.store.away = True
    with pytest.raises(errors.StoreUnavailable):
        world.admission.admit(world.ask(), NOW_NS)


def test_floods_are_answered_from_memory_and_then_blocked() -> None:
    world = World(rpm=1, concurrency=100)
    world.admission.admit(world.ask(), NOW_NS)
    for count in itertools.count(1):
        with pytest.raises(errors.RateLimitExceeded) as refused:
            world.admission.admit(world.ask(), NOW_NS + count)
        if "blocked" in refused.value.message:
            break
        assert count < 40
        if count == FLOOD_STARTS_AT + 2:
            before = world.store.writes
            with pytest.raises(errors.RateLimitExceeded):
                world.admission.admit(world.ask(), NOW_NS + count + 1)
            assert world.store.writes == before
        if count > FLOOD_STARTS_AT + 2:  # past the second for which a refusal is kept, the store is asked again
            world.admission._refused["usr_a"].last_ns -= 2 * SECOND_NS
    assert world.store.grants["usr_a"].block_seconds == 60
    with pytest.raises(errors.RateLimitExceeded):
        world.admission.admit(world.ask(), NOW_NS + 59 * SECOND_NS)
    world.admission.admit(world.ask(), NOW_NS + 61 * SECOND_NS)


def test_the_refusal_that_blocks_tells_the_blocks_wait() -> None:
    world = World(rpm=1, concurrency=100)
    world.admission.admit(world.ask(), NOW_NS)
    for step in range(11):
        world.admission._refused.get("usr_a", type("", (), {})()).last_ns = 0  # past the second it is kept for
        wait = _told_wait(world, 100, NOW_NS + step * SECOND_NS)
    assert world.store.grants["usr_a"].blocked_until_ms > 0
    world.admission.admit(world.ask(), NOW_NS + (10 + wait) * SECOND_NS)


def test_a_revocation_is_told_even_amid_refusals() -> None:
    world = World(rpm=1, concurrency=100)
    world.admission.admit(world.ask(), NOW_NS)
    for _ in range(FLOOD_STARTS_AT - 1):
        with pytest.raises(errors.RateLimitExceeded):
            world.admission.admit(world.ask(), NOW_NS)
    world.change(live={})
    with pytest.raises(errors.InvalidApiToken):
        world.admission.admit(world.ask(), NOW_NS)


def _told_wait(world: World, tokens: int, now_ns: int) -> int:
    with pytest.raises(errors.Throttled) as refused:
        world.admission.admit(world.ask(tokens), now_ns)
    return refused.value.retry_after_seconds


def test_a_quota_that_ends_before_the_rate_does_is_no_wait_that_helps() -> None:
    """The month ends in 10 s, the request bucket has room in 60: 60 is the truth."""
    world = World(rpm=1, monthly_tokens=150, concurrency=10, lifetime_seconds=86_400 * 40)
    late = 1_801_440_000 * SECOND_NS - 10 * SECOND_NS  # 2027-01-31T23:59:50Z
    world.admission.admit(world.ask(100), late)
    wait = _told_wait(world, 100, late)
    world.admission.admit(world.ask(100), late + wait * SECOND_NS)


def test_a_blocked_account_without_quota_is_told_of_the_quota() -> None:
    world = World(monthly_tokens=150, lifetime_seconds=86_400 * 40)
    world.admission.admit(world.ask(100), NOW_NS)
    world.change(blocked_until_ms=NOW_MS + 60_000, leases={})
    wait = _told_wait(world, 100, NOW_NS)
    world.admission.admit(world.ask(100), NOW_NS + wait * SECOND_NS)


def test_a_request_that_could_never_fit_is_no_429_where_the_quota_is_used_up_too() -> None:
    world = World(tpm=1000, monthly_tokens=100)
    with pytest.raises(errors.InvalidModelRequest):
        world.admission.admit(world.ask(1001), NOW_NS)


def test_a_wait_told_from_memory_is_true_after_a_smaller_request_was_let_in() -> None:
    world = World(tpm=600, concurrency=100)
    world.admission.admit(world.ask(500), NOW_NS)
    for _ in range(FLOOD_STARTS_AT + 1):
        assert _told_wait(world, 200, NOW_NS) == 10
    world.admission.admit(world.ask(90), NOW_NS)
    wait = _told_wait(world, 200, NOW_NS)
    world.admission.admit(world.ask(200), NOW_NS + wait * SECOND_NS)
