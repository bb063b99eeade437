"""Every clause of admission's condition refuses alone, and no other clause replaces it.

For each clause: a grant that breaks only that clause refuses the write and stays as it was; the very same write with
that one clause made always true is let through. So every clause is needed, and removing one fails a test.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sluice.adapters.gateway import grant_expressions as expressions
from sluice.adapters.gateway import own_limits
from sluice.adapters.gateway.grant_item import family_key, limits_attribute
from sluice.adapters.gateway.hot_store import ConditionFailed
from sluice.domain.gateway.admission import AdmissionRequest, Forms, lease_for
from sluice.domain.gateway.buckets import WINDOW_NS, charge_ns
from tests.integration.gateway.admission.world import DEFAULTS, MONTH, NOW_MS, NOW_NS, NOW_S, PREFIX, TOKEN, Account

IDLE = Forms(requests_busy=False, tokens_busy=False, new_period=False, closed=False)
BUSY = replace(IDLE, requests_busy=True, tokens_busy=True)
NEW_MONTH = replace(IDLE, new_period=True)
CLOSED = replace(IDLE, closed=True)
ONE_REQUEST_NS = charge_ns(1, DEFAULTS.rpm)
HUNDRED_TOKENS_NS = charge_ns(100, DEFAULTS.tpm)
UNUSED = dict.fromkeys("abpqv", 0)
BUSY_ITEM = {"tat_requests_ns": NOW_NS + 1, "tat_tokens_ns": NOW_NS + 1}

Arrange = Callable[[Account, AdmissionRequest], dict[str, Any]]


def _fixed(**changes: Any) -> Arrange:
    return lambda account, request: changes


def _leases(count: int, *, own: bool = False) -> Arrange:
    def arrange(account: Account, request: AdmissionRequest) -> dict[str, Any]:
        names = [request.request_id if own else account.ask().request_id for _ in range(count)]
        account.write_leases({name: account.lease() for name in names})
        return {}

    return arrange


def _other_limit(**change: int) -> Arrange:
    return _fixed(limits=limits_attribute(replace(DEFAULTS, **change)))


CASES: list[tuple[str, str, Forms, dict[str, Any], Arrange]] = [
    # (what, clause, forms of the write, a grant that is admitted in them, what breaks just this clause)
    (
        "has limits of its own",
        own_limits.TOKEN_IS_PLAIN,
        IDLE,
        {},
        _fixed(tl={family_key(TOKEN): {"l": {"r": 1}, **UNUSED}}),
    ),
    ("limits of a plan were written", own_limits.NO_PLAN_YET, IDLE, {}, _fixed(pv=1)),
    ("revoked", expressions.TOKEN_IS_LIVE, IDLE, {}, _fixed(live={"M": {}})),
    ("another token's", expressions.TOKEN_IS_LIVE, IDLE, {}, _fixed(live={"tok_other": NOW_S + 9})),
    ("expires this second", expressions.TOKEN_IS_LIVE, IDLE, {}, _fixed(live={TOKEN: NOW_S})),
    ("suspended", expressions.STANDING_IS_GOOD, IDLE, {}, _fixed(standing="suspended")),
    ("blocked a ms more", expressions.NOT_BLOCKED, IDLE, {}, _fixed(blocked_until=NOW_MS + 1)),
    ("own lease is there", expressions.LEASE_IS_NEW, IDLE, {}, _leases(1, own=True)),
    ("rpm is another", expressions.LIMITS_ARE_KNOWN, IDLE, {}, _other_limit(rpm=61)),
    ("tpm is another", expressions.LIMITS_ARE_KNOWN, IDLE, {}, _other_limit(tpm=40_001)),
    ("concurrency is another", expressions.LIMITS_ARE_KNOWN, IDLE, {}, _other_limit(concurrency=5)),
    ("quota is another", expressions.LIMITS_ARE_KNOWN, IDLE, {}, _other_limit(monthly_tokens=1_000_001)),
    ("as many leases", expressions.LEASES_HAVE_ROOM, IDLE, {}, _leases(4)),
    ("requests are idle", expressions.REQUESTS_BUSY, BUSY, BUSY_ITEM, _fixed(tat_requests_ns=NOW_NS)),
    (
        "a ns too few for a request",
        expressions.REQUESTS_BUSY,
        BUSY,
        BUSY_ITEM,
        _fixed(tat_requests_ns=NOW_NS + WINDOW_NS - ONE_REQUEST_NS + 1),
    ),
    ("requests are busy", expressions.REQUESTS_IDLE, IDLE, {}, _fixed(tat_requests_ns=NOW_NS + 1)),
    ("tokens are idle", expressions.TOKENS_BUSY, BUSY, BUSY_ITEM, _fixed(tat_tokens_ns=NOW_NS)),
    (
        "a ns too few for the tokens",
        expressions.TOKENS_BUSY,
        BUSY,
        BUSY_ITEM,
        _fixed(tat_tokens_ns=NOW_NS + WINDOW_NS - HUNDRED_TOKENS_NS + 1),
    ),
    ("tokens are busy", expressions.TOKENS_IDLE, IDLE, {}, _fixed(tat_tokens_ns=NOW_NS + 1)),
    ("an older month", expressions.PERIOD_SAME, IDLE, {}, _fixed(period=MONTH - 1)),
    ("a later month", expressions.PERIOD_SAME, IDLE, {}, _fixed(period=MONTH + 1)),
    ("a token past the quota", expressions.PERIOD_SAME, IDLE, {}, _fixed(period_tokens=999_901)),
    ("the month has begun", expressions.PERIOD_NEW, NEW_MONTH, {"period": MONTH - 1}, _fixed(period=MONTH)),
    ("a later month has begun", expressions.PERIOD_NEW, NEW_MONTH, {"period": MONTH - 1}, _fixed(period=MONTH + 1)),
]


def _write(
    account: Account, request: AdmissionRequest, forms: Forms, given: str | None = None
) -> dict[str, Any] | None:
    """The admission's write; → the grant after it, or None where it was refused. `given` is taken for granted."""
    guess = replace(account.grant(), limits=DEFAULTS, period=MONTH, token_limits={}, plan_version=None)
    lease = lease_for(request, guess, NOW_NS)
    write = expressions.admission(request, guess, forms, lease, NOW_NS)
    if given is not None:
        assert given in write["ConditionExpression"]
        always = f"({given} OR attribute_exists(account_id))"
        write["ConditionExpression"] = write["ConditionExpression"].replace(given, always)
    try:
        answer = account.store.call("UpdateItem", {"TableName": PREFIX + "grants", **write})
    except ConditionFailed:
        return None
    return dict(answer["Attributes"])


@pytest.mark.parametrize(("what", "clause", "forms", "fitting", "broken"), CASES, ids=[case[0] for case in CASES])
def test_each_clause_refuses_alone(
    account: Account, what: str, clause: str, forms: Forms, fitting: dict[str, Any], broken: Arrange
) -> None:
    request = account.ask(100)
    account.write(**fitting)
    account.write(**broken(account, request))
    before = account.raw()

    assert _write(account, request, forms) is None, what
    assert account.raw() == before

    assert _write(account, request, forms, given=clause) is not None, f"{what}: something else refuses too"


@pytest.mark.parametrize("forms", [IDLE, BUSY, NEW_MONTH], ids=["idle", "busy", "new month"])
def test_at_every_boundary_the_write_is_still_made(account: Account, forms: Forms) -> None:
    """One unit more, and one of the clauses above refuses."""
    account.write(live={TOKEN: NOW_S + 1}, blocked_until=NOW_MS)
    account.write_leases({account.ask().request_id: account.lease() for _ in range(3)})
    if forms.requests_busy:
        latest = NOW_NS + WINDOW_NS
        account.write(tat_requests_ns=latest - ONE_REQUEST_NS, tat_tokens_ns=latest - HUNDRED_TOKENS_NS)
    else:
        account.write(tat_requests_ns=NOW_NS, tat_tokens_ns=NOW_NS)
    account.write(
        **({"period": MONTH - 1, "period_tokens": 1_000_000} if forms.new_period else {"period_tokens": 999_900})
    )
    assert _write(account, account.ask(100), forms) is not None


@pytest.mark.parametrize("forms", [IDLE, BUSY, NEW_MONTH, CLOSED], ids=["idle", "busy", "new month", "closed"])
def test_no_write_has_a_clause_that_is_not_tested_here(account: Account, forms: Forms) -> None:
    request = account.ask()
    condition = expressions.admission(request, account.grant(), forms, account.lease(), NOW_NS)["ConditionExpression"]
    for _, clause, tested_in, _, _ in CASES:
        if tested_in == forms or forms.closed or clause not in (expressions.REQUESTS_BUSY, expressions.TOKENS_BUSY):
            condition = condition.replace(clause, "", 1)
    left = {part.strip() for part in condition.split(" AND ")} - {""}
    assert left == ({expressions.CLOSED} if forms.closed else set())


def test_a_closed_write_is_refused_even_if_every_other_clause_holds(account: Account) -> None:
    before = account.raw()
    assert _write(account, account.ask(), CLOSED) is None
    assert account.raw() == before
    assert _write(account, account.ask(), CLOSED, given=expressions.CLOSED) is not None


@pytest.mark.parametrize("forms", [IDLE, BUSY, NEW_MONTH, CLOSED], ids=["idle", "busy", "new month", "closed"])
def test_no_write_creates_a_grant_for_an_account_without_one(account: Account, forms: Forms) -> None:
    nobody = replace(account.ask(), account_id="usr_nobody")
    attempt = account.store.admit(nobody, account.grant(), forms, account.lease(), NOW_NS)
    assert (attempt.made, attempt.grant) == (False, None)
    assert account.store.grant("usr_nobody") is None
