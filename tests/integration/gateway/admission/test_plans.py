"""Plans: limits of newer settings come with the next admission's one write, for every instance, and never go back."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest

from sluice.adapters.gateway.grants import DynamoGrants
from sluice.domain import errors
from sluice.domain.gateway.admission import AdmissionRequest, Grant, Limits
from sluice.domain.settings.terms import NO_TERMS, PlanTerms, Terms
from sluice.domain.usage.pricing import Prices
from sluice.services.gateway.admit import Admission, Plans
from tests.integration.gateway.admission.world import DEFAULTS, NOW_NS, Account


def _terms(version: int, *, newest: int = 0, **plans: PlanTerms) -> Terms:
    return Terms(version, newest or version, {}, plans, "free")


FIRST = _terms(1, free=PlanTerms({"rpm": 30}, 500), pro=PlanTerms({"rpm": 600, "concurrency": 9}))
SECOND = _terms(2, free=PlanTerms({"rpm": 3, "tpm": 300}), pro=PlanTerms({"rpm": 500, "concurrency": 20}))


@dataclass
class Instance:
    """A gateway process. `known`: the settings it remembers; `stored`: the newest, which it can read."""

    account: Account
    known: Terms = NO_TERMS
    stored: Terms = SECOND
    writes: list[int] = field(default_factory=list)
    reads: int = 0

    def __post_init__(self) -> None:
        plans = Plans(lambda: self.known, self._read)
        self.admission = Admission(self.account.store, DEFAULTS, self.writes.append, plans)

    def _read(self) -> Terms:
        self.reads += 1
        self.known = self.stored
        return self.known

    def admit(self, **changes: object) -> Grant:
        request: AdmissionRequest = replace(self.account.ask(1), **changes)  # type: ignore[arg-type]
        return self.admission.admit(request, NOW_NS).grant


def _limits(**changes: int) -> Limits:
    return replace(DEFAULTS, **changes)


def test_two_instances_that_know_different_versions_never_go_back(account: Account) -> None:
    ahead, behind = Instance(account, SECOND), Instance(account, FIRST)
    assert behind.admit().limits == _limits(rpm=30)
    grant = ahead.admit()
    assert (grant.limits, grant.plan_version) == (_limits(rpm=3, tpm=300), 2)
    grant = behind.admit()
    assert (grant.limits, grant.plan_version, behind.reads) == (_limits(rpm=3, tpm=300), 2, 1)
    with pytest.raises(errors.RateLimitExceeded, match="limit of 3 requests"):
        behind.admit()
    with pytest.raises(errors.RateLimitExceeded, match="limit of 3 requests"):
        Instance(account, FIRST, FIRST).admit()  # it cannot even read the newer ones


def test_new_settings_cost_no_more_writes_once_the_account_is_known(account: Account) -> None:
    instance = Instance(account, FIRST)
    instance.admit()
    instance.admit()
    instance.known = SECOND
    instance.admit()
    instance.admit()
    assert instance.writes == [2, 1, 1, 1]


def test_without_settings_nothing_of_plans_is_written(account: Account) -> None:
    instance = Instance(account)
    instance.admit()
    instance.admit()
    assert (instance.writes, instance.reads) == ([1, 1], 0)
    assert {"pv", "own", "plan", "ml"} & set(account.raw()) == set()


def test_a_broken_newest_version_refuses_nobody(account: Account) -> None:
    ahead, behind = Instance(account, SECOND), Instance(account, FIRST, replace(FIRST, newest=2))
    ahead.admit()
    assert (behind.admit().plan_version, behind.reads) == (2, 1)


def test_an_accounts_own_limits_come_first_also_those_from_before_any_settings(account: Account) -> None:
    account.write_limits(_limits(rpm=7, concurrency=8))
    grant = Instance(account, FIRST).admit()
    assert (grant.limits, grant.own) == (_limits(rpm=7, concurrency=8), {"rpm": 7, "concurrency": 8})
    assert Instance(account, SECOND).admit().limits == _limits(rpm=7, tpm=300, concurrency=8)


def test_a_plan_that_an_admin_chooses_holds_on_the_next_request_of_every_instance(
    account: Account,
    grants: DynamoGrants,
) -> None:
    one, other = Instance(account, SECOND), Instance(account, SECOND)
    one.admit()
    other.admit()
    grants.set_limits(account.id, account.grant().limits, _limits(rpm=4, tpm=300), {"rpm": 4})
    assert one.admit().limits == _limits(rpm=4, tpm=300)
    with pytest.raises(errors.RateLimitExceeded, match="limit of 4 requests"):
        [one.admit() for _ in range(3)]
    grants.set_plan(account.id, "pro")
    for instance in (other, one):
        grant = instance.admit()
        assert (grant.plan, grant.limits, grant.own) == ("pro", _limits(rpm=500, concurrency=20), {})
    grants.set_plan(account.id, "gone")  # a plan that later settings do not have: the default one
    account.item = account.raw()
    account.write(tat_requests_ns=0)
    account.write_leases({})
    assert one.admit().limits == _limits(rpm=3, tpm=300)


def test_a_plans_dollars_come_and_go_with_it(account: Account) -> None:
    paid = {"reserve_micro_usd": 400, "prices": Prices(request_micro_usd=400)}
    assert Instance(account, FIRST).admit(**paid).monthly_micro_usd == 500
    with pytest.raises(errors.InsufficientBudget):
        Instance(account, FIRST).admit(**paid)
    grant = Instance(account, SECOND).admit(**paid)
    assert (grant.monthly_micro_usd, grant.period_micro_usd) == (None, 800)
    third = _terms(3, free=PlanTerms({}, 1100))
    with pytest.raises(errors.InsufficientBudget):
        Instance(account, third).admit(**paid)
    assert Instance(account, third).admit(reserve_micro_usd=300).period_micro_usd == 1100


def test_a_model_outside_the_plan_does_not_exist(account: Account, grants: DynamoGrants) -> None:
    terms = _terms(1, free=PlanTerms(models=frozenset({"small"})), pro=PlanTerms(models=frozenset({"small", "demo"})))
    instance = Instance(account, terms)
    with pytest.raises(errors.ModelNotFound):
        instance.admit()
    refused = account.grant()
    assert (refused.leases, refused.period_tokens) == ({}, 0)
    instance.admit(model="small")
    grants.set_plan(account.id, "pro")
    instance.admit()
    grants.set_plan(account.id, "free")
    with pytest.raises(errors.ModelNotFound):
        instance.admit()


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda grants, account: grants.set_limits(account.id, account.limits, account.limits, {"rpm": 60}),
        lambda grants, account: grants.set_plan(account.id, "pro"),
    ],
    ids=["the same limits become its own", "another plan"],
)
def test_a_change_by_an_admin_beside_the_first_write_of_a_plan_is_not_lost(
    account: Account,
    grants: DynamoGrants,
    meanwhile: Callable[[DynamoGrants, Account], None],
) -> None:
    instance = Instance(account, SECOND)
    instance.admission.remember(account.grant())
    meanwhile(grants, account)
    grant = instance.admit()
    assert instance.writes == [2]
    assert grant.limits == (_limits(rpm=500, concurrency=20) if grant.plan else _limits(rpm=60, tpm=300))


def test_of_many_at_once_from_old_and_new_instances_exactly_the_new_limit_passes(account: Account) -> None:
    instances = [Instance(account, terms) for terms in (FIRST, SECOND) * 3]
    for instance in instances:
        instance.admission.remember(account.grant())
    Instance(account, SECOND).admit()

    def ask(place: int) -> bool:
        try:
            instances[place % 6].admit()
        except errors.RateLimitExceeded:
            return False
        return True

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(ask, range(24))) == 2
    assert account.grant().limits == _limits(rpm=3, tpm=300)


def test_asking_for_a_model_outside_the_plan_takes_a_request_a_minute(account: Account) -> None:
    instance = Instance(account, _terms(1, free=PlanTerms(models=frozenset({"small"}))))
    for _ in range(DEFAULTS.rpm):
        with pytest.raises(errors.ModelNotFound):
            instance.admit()
    with pytest.raises(errors.RateLimitExceeded):
        instance.admit()


def test_a_revoked_api_token_is_told_so_also_for_a_model_outside_the_plan(account: Account) -> None:
    instance = Instance(account, _terms(1, free=PlanTerms(models=frozenset({"small"}))))
    with pytest.raises(errors.InvalidApiToken):
        instance.admit(token_id="tok_revoked")


def test_own_limits_that_a_new_plan_ended_are_not_written_back_by_an_admin_who_read_them(
    account: Account, grants: DynamoGrants
) -> None:
    limits = account.grant().limits
    grants.set_limits(account.id, limits, limits, {"rpm": 60})
    read = account.grant()
    grants.set_plan(account.id, "pro")
    with pytest.raises(errors.Conflict):
        grants.set_limits(account.id, read.limits, read.limits, {"rpm": 60, "tpm": 9}, read.own)
    assert account.grant().own == {}
