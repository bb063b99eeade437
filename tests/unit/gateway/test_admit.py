"""Admission over a store in memory: refusals and their reasons, the number of writes, and lost answers."""

import itertools
from dataclasses import replace

import pytest

from sluice.domain import errors
from sluice.domain.gateway.admission import AdmissionRequest, Limits, forms_for, lease_for
from sluice.domain.gateway.decision import decide, decide_malformed, next_block_seconds
from sluice.domain.gateway.leases import LEASE_MS, SWEEP_AFTER_MS, Lease
from sluice.domain.ids import request_id
from sluice.ports.gateway import Attempt
from sluice.services.gateway import admit
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


def test_an_account_new_to_the_process_costs_a_second_write_once() -> None:
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


def test_past_the_request_limit_retry_after_is_long_enough() -> None:
    world = World(rpm=3, concurrency=100)
    for _ in range(3):
        world.admission.admit(world.ask(), NOW_NS)
    with pytest.raises(errors.RateLimitExceeded, match="limit of 3 requests") as refused:
        world.admission.admit(world.ask(), NOW_NS)
    assert refused.value.retry_after_seconds == 20
    assert world.took[-1] == 1, "a refusal's writes are counted, too"
    world.admission.admit(world.ask(), NOW_NS + 20 * SECOND_NS)


def test_past_the_token_limit_retry_after_is_long_enough() -> None:
    world = World(tpm=600, concurrency=100)
    world.admission.admit(world.ask(600), NOW_NS)
    with pytest.raises(errors.RateLimitExceeded, match="limit of 600 tokens") as refused:
        world.admission.admit(world.ask(100), NOW_NS)
    assert refused.value.retry_after_seconds == 10
    world.admission.admit(world.ask(100), NOW_NS + 10 * SECOND_NS)


def test_of_two_equal_waits_the_requests_are_named() -> None:
    world = World(rpm=1, tpm=100)
    world.admission.admit(world.ask(100), NOW_NS)
    with pytest.raises(errors.RateLimitExceeded, match="limit of 1 requests"):
        world.admission.admit(world.ask(100), NOW_NS)


def test_past_the_concurrency_limit_retry_after_is_one_second() -> None:
    world = World(concurrency=2)
    running = [world.admission.admit(world.ask(), NOW_NS) for _ in range(2)]
    with pytest.raises(errors.TooManyConcurrentRequests) as refused:
        world.admission.admit(world.ask(), NOW_NS)
    assert refused.value.retry_after_seconds == 1
    settle(world.store, "usr_a", running[0].request.request_id, running[0].lease, Outcome(200, 1, 1))
    world.admission.admit(world.ask(), NOW_NS)


def test_past_the_quota_retry_after_lasts_until_the_month_ends() -> None:
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


def test_a_clock_that_is_a_month_behind_charges_the_grants_month() -> None:
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


def test_a_limit_raised_from_zero_admits_at_once() -> None:
    world = World(rpm=0)
    with pytest.raises(errors.RateLimitExceeded):
        world.admission.admit(world.ask(), NOW_NS)
    world.change(limits=Limits(5, 40_000, 4, 1000))
    world.admission.admit(world.ask(), NOW_NS)


def test_a_request_larger_than_the_bucket_is_a_400_and_not_a_429() -> None:
    world = World(tpm=1000)
    with pytest.raises(errors.InvalidModelRequest, match="1000 tokens a minute") as refused:
        world.admission.admit(world.ask(1001), NOW_NS)
    assert refused.value.param == "max_tokens"


def test_a_lost_answer_charges_once() -> None:
    """The adapter retries single writes; here the whole admission is repeated."""
    world = World()
    request = world.ask()
    world.store.lose_answers = 1
    with pytest.raises(errors.StoreUnavailable):
        world.admission.admit(request, NOW_NS)
    again = world.admission.admit(request, NOW_NS)
    assert again.request.request_id in again.grant.leases
    assert world.store.grants["usr_a"].period_tokens == 100


def test_expired_leases_make_room_and_their_records_stay() -> None:
    world = World(concurrency=1)
    dead = world.admission.admit(world.ask(), NOW_NS)
    later = NOW_NS + (LEASE_MS + 1) * 1_000_000
    world.admission.admit(world.ask(), later)
    record = world.store.ledger[dead.request.request_id]
    assert (record.settled_by, record.status, record.finish_reason) == ("sweeper", 500, "interrupted")


def test_a_grant_that_changes_before_each_write_is_a_503_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    tried: list[str] = []

    def never(request: AdmissionRequest, *_: object) -> Attempt:
        tried.append(request.request_id)
        return Attempt(False, world.store.grants["usr_a"])

    monkeypatch.setattr(world.store, "admit", never)
    monkeypatch.setattr(world.store, "charge_malformed", lambda *_: never(world.ask()))
    for wanted in (
        world.admission.admit,
        lambda ask, now_ns: world.admission.charge_malformed("usr_a", "tok_a", now_ns),
    ):
        tried.clear()
        with pytest.raises(errors.Overloaded) as refused:
            wanted(world.ask(), NOW_NS)
        assert (len(tried), refused.value.retry_after_seconds) == (admit.MAX_WRITES, 1)


def test_while_the_store_is_unavailable_requests_are_refused() -> None:
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


def test_the_refusal_that_blocks_gives_the_wait_of_the_block() -> None:
    world = World(rpm=1, concurrency=100)
    world.admission.admit(world.ask(), NOW_NS)
    for step in range(11):
        world.admission._refused.get("usr_a", type("", (), {})()).last_ns = 0  # past the second it is kept for
        wait = _wait(world, 100, NOW_NS + step * SECOND_NS)
    assert world.store.grants["usr_a"].blocked_until_ms > 0
    world.admission.admit(world.ask(), NOW_NS + (10 + wait) * SECOND_NS)


def test_a_revoked_token_is_reported_even_during_rate_limiting() -> None:
    world = World(rpm=1, concurrency=100)
    world.admission.admit(world.ask(), NOW_NS)
    for _ in range(FLOOD_STARTS_AT - 1):
        with pytest.raises(errors.RateLimitExceeded):
            world.admission.admit(world.ask(), NOW_NS)
    world.change(live={})
    with pytest.raises(errors.InvalidApiToken):
        world.admission.admit(world.ask(), NOW_NS)


def _wait(world: World, tokens: int, now_ns: int) -> int:
    with pytest.raises(errors.Throttled) as refused:
        world.admission.admit(world.ask(tokens), now_ns)
    return refused.value.retry_after_seconds


def test_retry_after_is_the_longer_of_the_waits_for_quota_and_rate() -> None:
    """The month ends in 10 s, but the request bucket has room only in 60 s, so the wait is 60 s."""
    world = World(rpm=1, monthly_tokens=150, concurrency=10, lifetime_seconds=86_400 * 40)
    late = 1_801_440_000 * SECOND_NS - 10 * SECOND_NS  # 2027-01-31T23:59:50Z
    world.admission.admit(world.ask(100), late)
    wait = _wait(world, 100, late)
    world.admission.admit(world.ask(100), late + wait * SECOND_NS)


def test_a_blocked_account_without_quota_gets_the_quotas_error() -> None:
    world = World(monthly_tokens=150, lifetime_seconds=86_400 * 40)
    world.admission.admit(world.ask(100), NOW_NS)
    world.change(blocked_until_ms=NOW_MS + 60_000, leases={})
    wait = _wait(world, 100, NOW_NS)
    world.admission.admit(world.ask(100), NOW_NS + wait * SECOND_NS)


def test_a_request_larger_than_the_bucket_is_a_400_even_without_quota() -> None:
    world = World(tpm=1000, monthly_tokens=100)
    with pytest.raises(errors.InvalidModelRequest):
        world.admission.admit(world.ask(1001), NOW_NS)


def test_a_remembered_wait_is_corrected_after_a_smaller_request_was_admitted() -> None:
    world = World(tpm=600, concurrency=100)
    world.admission.admit(world.ask(500), NOW_NS)
    for _ in range(FLOOD_STARTS_AT + 1):
        assert _wait(world, 200, NOW_NS) == 10
    world.admission.admit(world.ask(90), NOW_NS)
    wait = _wait(world, 200, NOW_NS)
    world.admission.admit(world.ask(200), NOW_NS + wait * SECOND_NS)


@pytest.mark.parametrize(
    ("seconds", "ended_ms_ago", "next_seconds"),
    [(0, 0, 60), (1, 0, 2), (60, 899_999, 120), (60, 900_000, 60), (450, 0, 900), (451, 0, 900), (900, -5, 900)],
)
def test_a_block_is_doubled_up_to_15_minutes_while_the_flood_goes_on(
    seconds: int, ended_ms_ago: int, next_seconds: int
) -> None:
    grant = replace(grant_of(now_ms=NOW_MS), block_seconds=seconds, blocked_until_ms=NOW_MS - ended_ms_ago)
    assert next_block_seconds(grant, NOW_MS) == next_seconds


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"tat_requests_ns": NOW_NS + 40 * SECOND_NS, "period_tokens": 10**9, "tat_tokens_ns": NOW_NS * 2}, None),
        (
            {"tat_requests_ns": NOW_NS + 40 * SECOND_NS + 1},
            (1, "The account's limit of 3 requests a minute is reached."),
        ),
        ({"tat_requests_ns": NOW_NS + 60 * SECOND_NS}, (20, "The account's limit of 3 requests a minute is reached.")),
        ({"limits": Limits(1, 1, 1, 1), "tat_requests_ns": NOW_NS + 1}, (1, "The account's limit of 1 requests")),
        ({"limits": Limits(0, 1, 1, 1)}, (60, "The account's rate limit is 0: no request is allowed.")),
        ({"blocked_until_ms": NOW_MS}, None),
        ({"blocked_until_ms": NOW_MS + 1}, (1, "Too many refused requests: this account is blocked")),
        ({"blocked_until_ms": NOW_MS + 1001, "tat_requests_ns": NOW_NS + 41 * SECOND_NS}, (2, "Too many refused")),
        ({"blocked_until_ms": NOW_MS + 2000, "tat_requests_ns": NOW_NS + 60 * SECOND_NS}, (20, "The account's limit")),
        ({"blocked_until_ms": NOW_MS + 2000, "live": {}}, (None, "This API token has been revoked.")),
        ({"live": {"tok_a": NOW_MS // 1000}}, (None, "This API token has expired.")),
        ({"standing": "suspended"}, (None, "")),
    ],
)
def test_a_request_wrong_in_form_takes_a_request_and_waits_for_nothing_else(
    changes: dict[str, object], refusal: tuple[int | None, str] | None
) -> None:
    grant = replace(grant_of(now_ms=NOW_MS, rpm=3), **changes)  # type: ignore[arg-type]
    found = decide_malformed(grant, "tok_a", NOW_NS)
    if refusal is None:
        assert found is None
    else:
        assert found is not None and found.message.startswith(refusal[1])
        assert isinstance(found, errors.NothingAllowed) == ("limit is 0" in found.message)
        wait = getattr(found, "retry_after_seconds", None)
        assert (wait, type(wait)) == (refusal[0], type(refusal[0]))


def test_a_month_and_an_api_token_end_on_the_nanosecond() -> None:
    february_ns, ask = 1_801_440_000 * SECOND_NS, World().ask()
    grant = grant_of(now_ms=NOW_MS, lifetime_seconds=1_440_000)
    before, then = february_ns - 1, february_ns
    assert [forms_for(grant, ask, now_ns).new_period for now_ns in (before, then)] == [False, True]
    assert [lease_for(ask, grant, now_ns).period for now_ns in (before, then)] == [202701, 202702]
    assert [decide(grant, ask, now_ns) is None for now_ns in (before, then)] == [True, False]
    assert [decide_malformed(grant, "tok_a", now_ns) is None for now_ns in (before, then)] == [True, False]


def test_a_lease_expires_and_is_abandoned_to_the_millisecond() -> None:
    lease = Lease(NOW_MS, 3, 10, 202701, "tok_a", "demo", "chat.completions", True)
    assert [lease.expired(NOW_MS + step) for step in (-1, 0)] == [False, True]
    assert [lease.abandoned(NOW_MS + SWEEP_AFTER_MS + step) for step in (-1, 0)] == [False, True]
    assert [lease.unused_ns(used) for used in (0, 1, 3, 4)] == [10, 6, 0, -4]
    assert replace(lease, reserved_tokens=0).unused_ns(1) == 0


def test_the_malformed_request_that_blocks_gives_the_wait_of_the_block() -> None:
    world = World(rpm=1)
    world.admission.charge_malformed("usr_a", "tok_a", NOW_NS)
    for _ in range(11):
        with pytest.raises(errors.RateLimitExceeded) as refused:
            world.admission.charge_malformed("usr_a", "tok_a", NOW_NS + SECOND_NS)
    assert refused.value.message.startswith("Too many refused requests")
    assert refused.value.retry_after_seconds == 60


def test_the_accounts_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admit, "KEEP_ACCOUNTS", 2)
    world = World()
    names = ["usr_a", "usr_b", "usr_c"]
    for name in names:
        world.store.grants[name] = grant_of(name, now_ms=NOW_MS, rpm=1)
        world.admission.admit(world.ask(account=name), NOW_NS)
        with pytest.raises(errors.RateLimitExceeded):
            world.admission.admit(world.ask(account=name), NOW_NS)
    assert list(world.admission._seen) == list(world.admission._refused) == names[1:]
    world.admission.check("usr_b", "tok_a", NOW_MS)
    assert list(world.admission._seen) == ["usr_c", "usr_b"]
