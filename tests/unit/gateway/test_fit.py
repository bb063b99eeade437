"""A request is made to fit the grant that is seen, and never reserves less than it may take."""

from dataclasses import replace
from random import Random

import pytest

from sluice.domain import errors
from sluice.domain.gateway.admission import AdmissionRequest
from sluice.domain.gateway.decision import decide
from sluice.domain.ids import request_id
from sluice.services.gateway.admit import Admission
from sluice.services.gateway.fit import Counts, Fit
from tests.fakes.hot_store import grant_of
from tests.unit.gateway.test_admit import DEFAULTS, NOW_MS, NOW_NS, SECOND_NS, World


def wanted(prompt_bytes: int, most: int, counted: int | None = 100, counts: Counts | None = None) -> Fit:
    identifier = request_id(NOW_MS)

    def form(prompt_tokens: int, completion_tokens: int) -> AdmissionRequest:
        reserve = prompt_tokens + 48 + completion_tokens
        return AdmissionRequest("usr_a", identifier, "tok_a", reserve, "demo", "chat.completions", True)

    return Fit(form, prompt_bytes, most, 512, None, lambda: counted, counts or Counts())


@pytest.mark.parametrize("seed", range(60))
def test_what_is_returned_is_admitted_or_refused_as_said_and_no_answer_could_be_longer(seed: int) -> None:
    dice = Random(seed)
    tpm, monthly_tokens = dice.choice([600, 5_000, 40_000]), dice.choice([700, 20_000, 10**6])
    grant = grant_of(now_ms=NOW_MS, rpm=60, tpm=tpm, concurrency=4, monthly_tokens=monthly_tokens)
    grant = replace(grant, tat_tokens_ns=NOW_NS + dice.choice([0, 1, 20, 50]) * SECOND_NS)
    prompt, most = dice.choice([10, 900, 20_000, 100_000]), dice.choice([1, 300, 2_000, 32_000])
    fit = wanted(prompt, most, exact := dice.randrange(1, prompt))
    request, refusal = fit(grant, NOW_NS)
    tokens = exact if fit.counted else prompt
    assert request.reserve_tokens == tokens + 48 + fit.completion_tokens and 1 <= fit.completion_tokens <= most
    assert (decide(grant, request, NOW_NS) is None) == (refusal is None)
    if refusal is None and fit.completion_tokens < most:
        longer = replace(request, reserve_tokens=request.reserve_tokens + 1)
        assert decide(grant, longer, NOW_NS) is not None
    if refusal is not None and fit.counted:
        least = replace(request, reserve_tokens=exact + 48 + min(most, 512, tpm // 8))
        assert decide(grant, least, NOW_NS) is not None
    assert fit(grant, NOW_NS)[0] == request  # a second look at the same grant asks nothing again


def test_a_stale_guess_is_mended_by_the_refusal_and_the_lease_is_what_the_answer_may_take() -> None:
    world = World()
    world.admission.admit(world.ask(), NOW_NS)  # this process has seen the grant
    beside = Admission(world.store, DEFAULTS)
    beside.admit(world.ask(tokens=20_000), NOW_NS)
    fit = wanted(400, 32_000)
    admitted = world.admission.admit(fit.request, NOW_NS, fit)
    assert world.took == [1, 2]
    assert admitted.lease.reserved_tokens == 400 + 48 + fit.completion_tokens == 40_000 - 100 - 20_000
    assert admitted.grant.leases[admitted.request.request_id].reserved_tokens == admitted.lease.reserved_tokens


def test_an_account_new_to_the_process_is_counted_only_after_the_store_has_shown_its_grant() -> None:
    world, fit = World(), wanted(48_000, 512, 12_000)
    admitted = world.admission.admit(fit.request, NOW_NS, fit)
    assert (fit.counted, admitted.lease.reserved_tokens, world.took) == (True, 12_000 + 48 + 512, [2])
    again = wanted(48_000, 512, 12_000)
    world.admission.admit(again.request, NOW_NS, again)
    assert world.took == [2, 1]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"live": {}}, errors.InvalidApiToken),
        ({"standing": "suspended"}, errors.AccountSuspended),
        ({"tat_requests_ns": NOW_NS + 60 * SECOND_NS}, errors.RateLimitExceeded),
        ({"blocked_until_ms": NOW_MS + 60_000}, errors.RateLimitExceeded),
        ({"period_tokens": 999_990, "period": 202701}, errors.QuotaExceeded),
        ({"tat_tokens_ns": NOW_NS + 60 * SECOND_NS}, errors.RateLimitExceeded),
    ],
)
def test_nothing_is_counted_for_a_caller_who_would_be_refused_anyway(change: dict[str, object], kind: type) -> None:
    world = World()
    world.admission.admit(world.ask(), NOW_NS)
    world.change(**change)
    fits = [wanted(48_000, 512) for _ in range(3)]
    for fit in fits:
        with pytest.raises(kind):
            world.admission.admit(fit.request, NOW_NS, fit)
    assert [fit.counted for fit in fits] == [True, False, False]  # the first, by what this process could know


def test_a_count_takes_one_of_the_accounts_places() -> None:
    world, counts = World(concurrency=1), Counts()
    world.admission.admit(world.ask(tokens=0), NOW_NS - 60 * SECOND_NS)
    grant = replace(world.store.grants["usr_a"], leases={})
    with counts.place(grant), pytest.raises(errors.TooManyConcurrentRequests):
        wanted(48_000, 512, counts=counts)(grant, NOW_NS)
    assert wanted(48_000, 512, counts=counts)(grant, NOW_NS)[1] is None


def test_a_prompt_that_nothing_counts_is_admitted_by_its_bytes_or_not_at_all() -> None:
    grant = grant_of(now_ms=NOW_MS, rpm=60, tpm=40_000, concurrency=4, monthly_tokens=10**6)
    assert wanted(30_000, 20_000, None)(grant, NOW_NS)[0].reserve_tokens == 40_000
    assert isinstance(wanted(48_000, 512, None)(grant, NOW_NS)[1], errors.InvalidModelRequest)
