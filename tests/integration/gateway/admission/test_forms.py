"""Every form of the write, from every guess, charges what the rules say, in two writes at most."""

import itertools
from dataclasses import replace
from typing import Any

import pytest

from sluice.domain import errors
from sluice.domain.gateway import buckets
from sluice.domain.gateway.admission import Grant
from sluice.services.gateway.admit import Admission
from tests.integration.gateway.admission.world import DEFAULTS, MONTH, NOW_NS, NOW_S, SECOND_NS, TOKEN, Account, Engine

STATES = list(itertools.product((False, True), repeat=3))  # requests busy, tokens busy, new month


def _name(state: tuple[bool, bool, bool]) -> str:
    words = ("requests", "tokens", "month")
    return "+".join(word for word, wanted in zip(words, state, strict=True) if wanted) or "idle"


def _state_of(requests_busy: bool, tokens_busy: bool, new_period: bool) -> dict[str, int]:
    return {
        "tat_requests_ns": NOW_NS + (7 * SECOND_NS if requests_busy else -7 * SECOND_NS),
        "tat_tokens_ns": NOW_NS + (9 * SECOND_NS if tokens_busy else -9 * SECOND_NS),
        "period": MONTH - 1 if new_period else MONTH,
        "period_tokens": 5000,
    }


@pytest.mark.parametrize("guess", STATES, ids=_name)
@pytest.mark.parametrize("truth", STATES, ids=_name)
def test_from_any_guess_the_right_amount_is_charged_in_two_writes_at_most(
    account: Account, truth: tuple[bool, bool, bool], guess: tuple[bool, bool, bool]
) -> None:
    account.write(**_state_of(*truth))
    took: list[int] = []
    admission = Admission(account.store, DEFAULTS, took.append)
    admission.remember(replace(account.grant(), **_state_of(*guess)))  # type: ignore[arg-type]
    request = account.ask(100)

    admitted = admission.admit(request, NOW_NS)

    assert took == [1 if guess == truth else 2]
    before, after = _state_of(*truth), account.grant()
    one_request, tokens = buckets.charge_ns(1, DEFAULTS.rpm), buckets.charge_ns(100, DEFAULTS.tpm)
    assert after.tat_requests_ns == max(before["tat_requests_ns"], NOW_NS) + one_request
    assert after.tat_tokens_ns == max(before["tat_tokens_ns"], NOW_NS) + tokens
    assert (after.period, after.period_tokens) == (MONTH, 100 if truth[2] else 5100)
    assert after.leases == {request.request_id: admitted.lease}
    assert (admitted.lease.reserved_tokens, admitted.lease.charged_tokens_ns) == (100, tokens)
    assert admitted.grant == after


@pytest.mark.parametrize(
    ("limits", "tokens", "refusal"),
    [
        ({"rpm": 0}, 100, errors.RateLimitExceeded),
        ({"tpm": 0}, 100, errors.RateLimitExceeded),
        ({"concurrency": 0}, 100, errors.TooManyConcurrentRequests),
        ({"monthly_tokens": 0}, 100, errors.QuotaExceeded),
        ({"tpm": 99}, 100, errors.InvalidModelRequest),
        ({"monthly_tokens": 99}, 100, errors.QuotaExceeded),
    ],
)
@pytest.mark.parametrize("known", [False, True], ids=["limits guessed", "limits known"])
def test_requests_beyond_a_limit_are_refused_by_the_store(
    engine: Engine, limits: dict[str, int], tokens: int, refusal: type[Exception], known: bool
) -> None:
    account = engine.account(**limits)
    before = account.raw()
    admission = Admission(account.store, DEFAULTS)
    if known:
        admission.remember(account.grant())
    with pytest.raises(refusal):
        admission.admit(account.ask(tokens), NOW_NS)
    if refusal is errors.InvalidModelRequest:  # wrong in form, so it counts as a request and nothing else
        before["tat_requests_ns"] = {"N": str(NOW_NS + buckets.charge_ns(1, account.limits.rpm))}
    assert account.raw() == before


def test_a_guess_of_a_closed_account_is_corrected_and_the_request_admitted(account: Account) -> None:
    took: list[int] = []
    admission = Admission(account.store, DEFAULTS, took.append)
    admission.remember(replace(account.grant(), limits=replace(DEFAULTS, rpm=0)))
    admission.admit(account.ask(), NOW_NS)
    assert took == [2]


def test_a_guess_of_a_later_month_than_the_stores_is_corrected(account: Account) -> None:
    """Such a guess can come from a time when the clock was ahead."""
    admission = Admission(account.store, DEFAULTS)
    ahead: Grant = replace(account.grant(), period=MONTH + 1)
    admission.remember(ahead)
    admission.admit(account.ask(100), NOW_NS)
    assert (account.grant().period, account.grant().period_tokens) == (MONTH, 100)


@pytest.mark.parametrize(
    ("ahead_ns", "guessed_ns", "writes"),
    [(-7, 0, 1), (0, 0, 1), (7, 7, 1), (7, 0, 2), (0, 7, 2), (59 * SECOND_NS, 7, 1)],
)
def test_a_request_wrong_in_form_is_charged_one_request(
    account: Account, ahead_ns: int, guessed_ns: int, writes: int
) -> None:
    account.write(tat_requests_ns=NOW_NS + ahead_ns)
    before, guess = account.grant(), replace(account.grant(), tat_requests_ns=NOW_NS + guessed_ns)
    made = [account.store.charge_malformed(guess, account.token_id, NOW_NS).made]
    if not made[0]:
        made.append(account.store.charge_malformed(before, account.token_id, NOW_NS).made)
    assert made == [False] * (writes - 1) + [True]
    charged_ns = max(NOW_NS, NOW_NS + ahead_ns) + buckets.charge_ns(1, DEFAULTS.rpm)
    assert account.grant() == replace(before, tat_requests_ns=charged_ns)


@pytest.mark.parametrize(
    "change",
    [
        {"tat_requests_ns": NOW_NS + 59 * SECOND_NS + 1},
        {"blocked_until": NOW_NS // 1_000_000 + 1},
        {"standing": "suspended"},
        {"live": {}},
        {"live": {TOKEN: NOW_S}},
    ],
)
def test_a_request_wrong_in_form_is_not_charged_where_it_is_refused(account: Account, change: dict[str, Any]) -> None:
    account.write(**change)
    grant = account.grant()
    attempt = account.store.charge_malformed(grant, account.token_id, NOW_NS)
    assert (attempt.made, attempt.grant, account.grant()) == (False, grant, grant)


def test_a_request_wrong_in_form_of_an_account_without_requests_returns_its_grant(engine: Engine) -> None:
    account = engine.account(rpm=0)
    attempt = account.store.charge_malformed(account.grant(), account.token_id, NOW_NS)
    assert (attempt.made, attempt.grant) == (False, account.grant())
