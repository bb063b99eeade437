"""When the owner of a quota is notified."""

from dataclasses import replace

import pytest

from sluice.domain.gateway.admission import Grant, Limits
from sluice.domain.gateway.leases import Lease
from sluice.domain.gateway.quota import notices_due, used_tokens
from sluice.domain.mails.mail import Kind


def grant(tokens: int, monthly: int = 1000) -> Grant:
    return Grant("usr_a", {}, "good", Limits(60, 40_000, 4, monthly), 1, period=202611, period_tokens=tokens)


@pytest.mark.parametrize(
    ("tokens", "due"),
    [
        (0, []),
        (799, []),
        (800, [Kind.QUOTA_80]),
        (999, [Kind.QUOTA_80]),
        (1000, [Kind.QUOTA_80, Kind.QUOTA_100]),
        (1200, [Kind.QUOTA_80, Kind.QUOTA_100]),
    ],
)
def test_each_notice_is_due_from_its_share_of_the_quota(tokens: int, due: list[Kind]) -> None:
    assert notices_due(grant(tokens)) == due


def test_shares_of_odd_limits_are_not_rounded_down() -> None:
    assert notices_due(grant(5, 7)) == []  # 80 % of 7 is 5.6
    assert notices_due(grant(6, 7)) == [Kind.QUOTA_80]


def test_a_refused_request_makes_the_notice_of_a_used_up_quota_due() -> None:
    assert notices_due(grant(500), refused=True) == [Kind.QUOTA_100]


def test_a_quota_of_0_is_never_used_up() -> None:
    assert notices_due(grant(0, 0), refused=True) == []


def test_only_running_requests_of_this_month_are_subtracted() -> None:
    lease = Lease(1, 300, 0, 202611, "tok_a", "demo", "completions", False)
    leases = {"req_1": lease, "req_2": replace(lease, period=202610)}
    assert used_tokens(replace(grant(1000), leases=leases)) == 700
