"""The owner gets one mail at 80 % of the month's tokens, and one at 100 %."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sluice.adapters.aws import dynamo
from sluice.domain.accounts.account import Account
from sluice.domain.errors import QuotaExceeded, StoreUnavailable
from sluice.domain.gateway.admission import AdmissionRequest, Limits
from sluice.domain.ids import request_id
from sluice.domain.periods import period_ends_ms, period_of
from sluice.services.gateway.observe import ObservedAdmission
from sluice.wiring import peers, stores
from sluice.wiring.mails import quota_mails
from sluice.wiring.usage import metering
from tests.integration.usage.world import UsageWorld, now_ms, table


def kinds(world: UsageWorld, account: Account) -> list[str]:
    items = dynamo.client().scan(TableName=table("mails"), ConsistentRead=True)["Items"]
    mails = [dynamo.values(item) for item in items]
    told = [mail for mail in mails if mail["account_id"] == account.account_id and mail["kind"].startswith("quota")]
    assert all(mail["to"] == account.email for mail in told)
    return sorted(mail["kind"] for mail in told)


def used(world: UsageWorld, account: Account, tokens: int, **more: Any) -> None:
    """Sets how many of the month's 1000 tokens were charged, then meters one request."""
    limits = {"rpm": 60, "tpm": 40_000, "concurrency": 4, "monthly_tokens": 1000}
    world.set_grant(account.account_id, limits=limits, period=period_of(now_ms()), period_tokens=tokens, **more)
    assert world.deliver([world.record(account.account_id)]) == []


def forget_told() -> None:
    quota_mails.cache_clear()
    metering.cache_clear()


def test_each_share_of_the_quota_sends_one_mail(world: UsageWorld) -> None:
    account = world.account()
    used(world, account, 799)
    assert kinds(world, account) == []
    used(world, account, 800)
    assert kinds(world, account) == ["quota_80"]
    used(world, account, 900)
    forget_told()  # another process
    used(world, account, 950)
    assert kinds(world, account) == ["quota_80"]
    used(world, account, 1000)
    used(world, account, 1000)
    assert kinds(world, account) == ["quota_100", "quota_80"]


def test_a_new_month_sends_new_mails(world: UsageWorld) -> None:
    account = world.account()
    used(world, account, 850)
    world.set_grant(account.account_id, period=period_of(period_ends_ms(period_of(now_ms()))))
    world.deliver([world.record(account.account_id)])
    assert kinds(world, account) == ["quota_80", "quota_80"]


def test_tokens_reserved_by_running_requests_do_not_count_as_used(world: UsageWorld) -> None:
    account = world.account()
    period = period_of(now_ms())
    lease = {"e": now_ms() + 30_000, "r": 300, "t": 0, "d": period, "k": "a", "m": "demo", "x": "cs", "p": 0, "c": 0}
    used(world, account, 1000, leases={"0" * 26: lease})
    assert kinds(world, account) == []


def test_concurrent_handlers_queue_one_mail(world: UsageWorld) -> None:
    account = world.account()
    used(world, account, 10)
    world.set_grant(account.account_id, period_tokens=1000)
    forget_told()
    with ThreadPoolExecutor(4) as handlers:
        list(handlers.map(lambda _: quota_mails.__wrapped__().check(account.account_id, now_ms()), range(8)))
    assert kinds(world, account) == ["quota_100", "quota_80"]


def test_a_mail_that_could_not_be_queued_has_its_record_delivered_again(
    world: UsageWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = world.account()
    used(world, account, 10)
    world.set_grant(account.account_id, period_tokens=900)
    records = [world.record(account.account_id) for _ in range(3)]

    def away(*arguments: Any) -> Any:
        raise StoreUnavailable()

    with monkeypatch.context() as down:
        down.setattr(type(stores.mail_store()), "queue", away)
        assert world.deliver(records) == [records[-1].request_id]
    assert world.deliver(records[-1:]) == []
    assert kinds(world, account) == ["quota_80"]
    assert world.rollups(account.account_id) == world.truth(account.account_id)


def test_a_request_beyond_the_quota_sends_the_mail_of_a_used_up_quota(world: UsageWorld) -> None:
    account = world.account()
    used(world, account, 700, live={"tok_a": 4_102_444_800})
    mails = quota_mails()
    admission = ObservedAdmission(
        stores.hot_store(),
        Limits(60, 40_000, 4, 1000),
        peers.metrics(),
        lambda account_id, now: mails.check(account_id, now, refused=True),
    )
    for _ in range(3):
        with pytest.raises(QuotaExceeded):
            now = now_ms()
            request = AdmissionRequest(
                account.account_id, request_id(now), "tok_a", 400, "demo", "chat.completions", True
            )
            admission.admit(request, now * 1_000_000)
    assert kinds(world, account) == ["quota_100"]


def test_an_account_with_a_quota_of_0_gets_no_mail(world: UsageWorld) -> None:
    account = world.account()
    limits = {"rpm": 60, "tpm": 40_000, "concurrency": 4, "monthly_tokens": 0}
    world.set_grant(account.account_id, limits=limits)
    world.deliver([world.record(account.account_id)])
    assert kinds(world, account) == []
