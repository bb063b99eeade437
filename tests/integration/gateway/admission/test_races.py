"""Races of two gateway processes on one store: limits are exact for any number of instances.

`SLUICE_RACE_ROUNDS` is the number of rounds for each limit (20 in `make test-full`, else 5).
"""

import os
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from sluice.adapters.aws import dynamo
from sluice.adapters.gateway.grants import DynamoGrants
from sluice.domain.gateway import buckets
from sluice.domain.gateway.admission import Limits, TokenLimits
from tests.integration.gateway.admission import racers
from tests.integration.gateway.admission.racers import Job, Pair
from tests.integration.gateway.admission.world import NOW_NS, PREFIX, Account, Engine
from tests.rounds import rounds

ROUNDS = int(os.environ.get("SLUICE_RACE_ROUNDS", rounds(20, 5)))
AT_ONCE = 24  # requests in a race: 12 threads in each of two processes
LIMIT = 10  # the number of them that fit

# which limit is raced for, the limits of the account (100 tokens a request), and the one refusal the others get
RACES = {
    "requests a minute": ({"rpm": LIMIT}, "RateLimitExceeded"),
    "tokens a minute": ({"tpm": 100 * LIMIT + 99}, "RateLimitExceeded"),
    "concurrency": ({"concurrency": LIMIT}, "TooManyConcurrentRequests"),
    "monthly quota": ({"monthly_tokens": 100 * LIMIT + 99}, "QuotaExceeded"),
}
# the API token's own limits, those of the account, and the refusals that may be told (the longest wait, of equal ones
# the account's); a request reserves 100 tokens and 50 micro-dollars
OWN_RACES: dict[str, tuple[TokenLimits | None, dict[str, int], tuple[str, ...]]] = {
    "requests a minute": (TokenLimits(rpm=LIMIT), {"rpm": LIMIT}, ("RateLimitExceeded",)),
    "tokens a minute": (TokenLimits(tpm=100 * LIMIT + 99), {"tpm": 100 * LIMIT + 99}, ("RateLimitExceeded",)),
    "monthly quota": (
        TokenLimits(monthly_tokens=100 * LIMIT + 99),
        {"monthly_tokens": 100 * LIMIT + 99},
        ("QuotaExceeded", "TokenQuotaExceeded"),
    ),
    "monthly dollars": (
        TokenLimits(monthly_micro_usd=50 * LIMIT + 49),
        {"ml": 50 * LIMIT + 49},
        ("InsufficientBudget", "TokenBudgetUsedUp"),
    ),
    "all": (
        TokenLimits(LIMIT, 100 * LIMIT, 100 * LIMIT, 50 * LIMIT),
        {"rpm": LIMIT, "tpm": 100 * LIMIT, "monthly_tokens": 100 * LIMIT, "ml": 50 * LIMIT},
        ("RateLimitExceeded", "QuotaExceeded", "TokenQuotaExceeded", "InsufficientBudget", "TokenBudgetUsedUp"),
    ),
    "the account's dollars": (None, {"ml": 50 * LIMIT + 49}, ("InsufficientBudget",)),
}
FAMILY = "tok_family0000000000"
ROOMY = {"rpm": 10_000, "tpm": 10_000_000, "concurrency": 10_000, "monthly_tokens": 10_000_000}


@pytest.fixture(scope="module")
def gateways(engine: Engine) -> Iterator[Pair]:
    with racers.pair(engine.url) as pair:
        yield pair


def _say(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with capsys.disabled():
        print(f"\n  {line}")


def _spread(writes: list[int]) -> str:
    counted = Counter(writes)
    share = {n: f"{100 * counted[n] / len(writes):.1f} %" for n in sorted(counted)}
    return f"{len(writes)} decisions, writes each: {share}, {sum(writes) / len(writes):.3f} on average"


@pytest.mark.parametrize("seen", [True, False], ids=["seen before", "first seen"])
@pytest.mark.parametrize("raced", RACES)
def test_of_many_concurrent_requests_exactly_the_limit_is_admitted(
    engine: Engine, gateways: Pair, raced: str, seen: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    tight, refusal = RACES[raced]
    writes: list[int] = []
    for _ in range(ROUNDS if seen else max(2, ROUNDS // 4)):
        account = engine.account(**{**ROOMY, **tight})
        job = Job("admit", account.id, account.token_id, warm=account.limits if seen else None)
        outcomes = gateways.run(job)

        assert len(outcomes.admitted) == LIMIT
        assert outcomes.refused == [refusal] * (AT_ONCE - LIMIT)
        _holds_exactly(account, outcomes.admitted)
        writes += outcomes.writes
    _say(capsys, f"{engine.name}, {raced}, {'limits seen before' if seen else 'limits first seen'}: {_spread(writes)}")
    # Two where the limits are known. A process that sees the account for the first time spends one on its limits.
    assert max(writes) <= (2 if seen else 3)


def _holds_exactly(account: Account, admitted: list[str]) -> None:
    grant, limits = account.grant(), account.limits
    assert sorted(grant.leases) == sorted(admitted)
    assert grant.period_tokens == 100 * len(admitted)
    assert grant.tat_requests_ns == NOW_NS + len(admitted) * buckets.charge_ns(1, limits.rpm)
    assert grant.tat_tokens_ns == NOW_NS + len(admitted) * buckets.charge_ns(100, limits.tpm)


@pytest.mark.parametrize("beside", ["alone", "with the account's"])
@pytest.mark.parametrize("raced", OWN_RACES)
def test_of_many_concurrent_requests_exactly_a_tokens_own_limit_is_admitted(
    engine: Engine, gateways: Pair, raced: str, beside: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own, tight, refusals = OWN_RACES[raced]
    writes: list[int] = []
    for _ in range(max(2, ROUNDS // 2)):
        of_account = dict(tight) if beside != "alone" or own is None else {}
        budget = of_account.pop("ml", None)
        account = engine.account(**{**ROOMY, **of_account})
        account.write(**({} if budget is None else {"ml": budget}))
        if own is not None:
            account.write_token_limits(own, FAMILY)
        job = Job("admit", account.id, account.token_id, warm=account.limits, family=FAMILY, micro_usd=50)
        outcomes = gateways.run(job)

        assert len(outcomes.admitted) == LIMIT
        assert set(outcomes.refused) <= set(refusals) and len(outcomes.refused) == AT_ONCE - LIMIT
        _holds_exactly(account, outcomes.admitted)
        grant = account.grant()
        assert grant.period_micro_usd == 50 * LIMIT
        for use in grant.token_limits.values():
            assert (use.tokens, use.micro_usd) == (100 * LIMIT, 50 * LIMIT)
        writes += outcomes.writes
    _say(capsys, f"{engine.name}, {raced} of an API token, {beside}: {_spread(writes)}")
    assert max(writes) <= 2


def test_under_steady_load_with_room_a_process_needs_one_write_an_admission(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """With money, and limits of the API token itself, in force."""
    account = engine.account(**ROOMY)
    account.write(ml=10**9)
    account.write_token_limits(TokenLimits(10_000, 10_000_000, 10_000_000, 10**9))
    racer = racers.Racer(
        engine.store, Job("storm", account.id, account.token_id, threads=4, times=50, warm=account.limits, micro_usd=9)
    )
    writes = racer.run().writes
    _say(capsys, f"{engine.name}, steady load with money and limits of the API token: {_spread(writes)}")
    assert len(writes) == 200
    assert sum(writes) / len(writes) <= 1.05
    assert account.grant().leases == {}


def test_below_the_limits_most_admissions_are_one_write(
    engine: Engine, gateways: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    account = engine.account(**ROOMY)
    outcomes = gateways.run(Job("storm", account.id, account.token_id, threads=4, times=50, warm=account.limits))
    assert outcomes.refused == []
    _say(capsys, f"{engine.name}, admitted and settled with room for all: {_spread(outcomes.writes)}")
    assert outcomes.writes.count(1) > 0.8 * len(outcomes.writes)


def test_no_request_that_starts_after_a_revocation_is_admitted(
    engine: Engine, gateways: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    _point_slow_side_at(engine, monkeypatch)
    for _ in range(3):
        account = engine.account(**ROOMY)
        gateways.start(Job("loop", account.id, account.token_id, threads=4, times=10, warm=account.limits))
        _wait_for_load(account)
        DynamoGrants(PREFIX).remove_live(account.id, account.token_id)
        acknowledged_ns = time.monotonic_ns()
        outcomes = gateways.results()

        before = [made for started, made in outcomes.started_ns if started < acknowledged_ns]
        after = [made for started, made in outcomes.started_ns if started >= acknowledged_ns]
        assert sum(before) > 10  # it was under load, or this proves nothing
        assert len(after) > 10
        assert not any(after)
        assert set(outcomes.refused) == {"InvalidApiToken"}


def _wait_for_load(account: Account) -> None:
    """Waits until both processes have settled some requests, because slow machines need longer."""
    until = time.monotonic() + 60
    while len(account.records()) <= 20:
        assert time.monotonic() < until, "the gateways admit nothing"
        time.sleep(0.01)


def _point_slow_side_at(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamo, "client", lambda: engine.client)


@pytest.mark.parametrize(
    "limits",
    [ROOMY, {"rpm": 10_000, "tpm": 1_200_000, "concurrency": 5, "monthly_tokens": 10_000_000}],
    ids=["room for all", "five at once"],
)
def test_after_heavy_concurrent_load_grants_and_ledger_agree(
    engine: Engine, gateways: Pair, limits: dict[str, int]
) -> None:
    account = engine.account(**limits)
    outcomes = gateways.run(Job("storm", account.id, account.token_id, threads=8, times=25, warm=account.limits))

    grant, records = account.grant(), account.records()
    assert set(outcomes.refused) <= {"TooManyConcurrentRequests", "RateLimitExceeded"}
    assert sorted(record.request_id for record in records) == sorted(outcomes.admitted)
    assert len(outcomes.admitted) >= 25
    assert grant.leases == {}
    assert grant.period_tokens == sum(record.total_tokens for record in records)
    assert grant.tat_tokens_ns == NOW_NS + outcomes.left_in_bucket_ns
    assert grant.tat_requests_ns == NOW_NS + len(records) * buckets.charge_ns(1, account.limits.rpm)


def test_a_limit_changed_under_load_holds_for_every_later_request(engine: Engine, gateways: Pair) -> None:
    """The limit becomes 0, and a process that still guesses the old one must not admit by it."""
    account = engine.account(**ROOMY)
    gateways.start(Job("loop", account.id, account.token_id, threads=4, times=10, warm=account.limits))
    _wait_for_load(account)
    account.item = account.raw()
    key = {"account_id": {"S": account.id}}
    none = dynamo.attribute({**vars(Limits(0, 0, 0, 0))})
    engine.client.update_item(
        TableName=PREFIX + "grants", Key=key, UpdateExpression="SET limits = :l", ExpressionAttributeValues={":l": none}
    )
    acknowledged_ns = time.monotonic_ns()
    outcomes = gateways.results()
    assert sum(made for started, made in outcomes.started_ns if started < acknowledged_ns) > 10
    assert not any(made for started, made in outcomes.started_ns if started >= acknowledged_ns)
