"""Publishable API tokens on both engines: the day and the visitor are exact, and terms are compared by the write."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from sluice.adapters.gateway.grant_item import family_key, token_use_attribute
from sluice.adapters.gateway.visits import DynamoVisits
from sluice.domain import errors
from sluice.domain.gateway.admission import AdmissionRequest, TokenLimits, TokenUse
from sluice.domain.gateway.buckets import WINDOW_NS
from sluice.domain.gateway.publishable import DAY_NS, PublicTerms
from sluice.services.gateway.admit import Admission
from sluice.services.gateway.settle import withdraw
from tests.integration.gateway.admission.world import DEFAULTS, NOW_MS, NOW_NS, NOW_S, PREFIX, Account, Engine

PAGE = "https://ada.example"
TERMS = PublicTerms((PAGE,), daily_requests=7, visitor_rpm=5, salt="salt")
ROOMY = {"rpm": 10_000, "tpm": 10_000_000, "concurrency": 10_000, "monthly_tokens": 10_000_000}
AT_ONCE = 100


@pytest.fixture
def public(engine: Engine) -> Account:
    """An account with room whose API token is publishable."""
    made = engine.account(**ROOMY)
    write(made, TERMS)
    return made


def write(account: Account, terms: PublicTerms) -> None:
    use = token_use_attribute(TokenUse(TokenLimits(), public=terms))
    live = {account.token_id: {"N": str(NOW_S + 3 * 86_400)}}
    account.write(tl={"M": {family_key(account.token_id): use}}, live={"M": live})


def admission(account: Account) -> Admission:
    return Admission(account.store, DEFAULTS)


def ask(account: Account, origin: str | None = PAGE) -> AdmissionRequest:
    return replace(account.ask(), origin=origin)


def outcome(found: Admission, request: AdmissionRequest, now_ns: int = NOW_NS) -> str:
    try:
        found.admit(request, now_ns)
    except errors.SluiceError as exc:
        return type(exc).__name__
    return "admitted"


def test_exactly_as_many_are_admitted_as_a_day_allows(public: Account) -> None:
    instances = [admission(public) for _ in range(4)]
    with ThreadPoolExecutor(24) as threads:
        found = Counter(threads.map(lambda n: outcome(instances[n % 4], ask(public)), range(AT_ONCE)))
    assert found == {"admitted": 7, "DailyRequestsUsedUp": AT_ONCE - 7}
    assert public.grant().blocked_until_ms == 0
    tomorrow = [outcome(instances[0], ask(public), NOW_NS + DAY_NS) for _ in range(8)]
    assert Counter(tomorrow) == {"admitted": 7, "DailyRequestsUsedUp": 1}
    assert outcome(instances[1], ask(public)) == "DailyRequestsUsedUp", "a clock that is late begins no day anew"


def test_an_origin_that_was_removed_is_refused_at_once_by_whoever_knew_it(public: Account) -> None:
    knows = admission(public)
    assert outcome(knows, ask(public)) == "admitted"
    write(public, replace(TERMS, origins=("https://b.example",)))
    assert outcome(knows, ask(public)) == "Forbidden"
    assert outcome(knows, ask(public, "https://b.example")) == "admitted"
    assert outcome(admission(public), ask(public, "")) == "Forbidden", "also of one that has seen nothing"


def test_without_its_terms_a_publishable_token_is_for_no_origin(engine: Engine) -> None:
    assert outcome(admission(engine.account()), ask(engine.account())) != "admitted"
    plain = engine.account()
    assert outcome(admission(plain), ask(plain)) == "Forbidden"
    assert outcome(admission(plain), ask(plain, None)) == "admitted"


def test_an_admission_that_is_taken_back_gives_the_day_back_and_a_settled_one_does_not(public: Account) -> None:
    admitted = admission(public).admit(ask(public), NOW_NS)
    family = public.token_id
    assert public.grant().token_limits[family].day_requests == 1
    assert withdraw(public.store, admitted.request, admitted.lease, admitted.grant, NOW_MS).made
    assert public.grant().token_limits[family].day_requests == 0


def test_exactly_as_many_of_a_visitor_are_charged_as_a_minute_allows(engine: Engine) -> None:
    client = engine.store._client
    instances = [DynamoVisits(client, PREFIX) for _ in range(4)]
    with ThreadPoolExecutor(24) as threads:
        made = list(threads.map(lambda n: instances[n % 4].take("visitor#a", 5, NOW_NS).made, range(AT_ONCE)))
    assert sum(made) == 5
    refused = instances[0].take("visitor#a", 5, NOW_NS)
    assert not refused.made and refused.tat_ns == NOW_NS + WINDOW_NS
    assert instances[1].take("visitor#b", 5, NOW_NS).made, "another visitor"
    assert instances[0].take("visitor#a", 5, NOW_NS + WINDOW_NS // 5).made, "a fifth of a minute later"
    assert not instances[2].take("visitor#a", 5, NOW_NS + WINDOW_NS // 5).made
