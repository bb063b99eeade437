"""GET /usage is exact at the time of the request, whether metering is finished or not."""

import threading
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sluice.domain.errors import StoreUnavailable
from sluice.domain.periods import day_of, day_start_ms, period_of, rfc3339
from sluice.domain.spans import DAY_MS
from sluice.domain.usage.pricing import usd
from sluice.domain.usage.usage import Amounts, amounts_of, total
from sluice.services.usage import sums
from sluice.wiring import stores
from sluice.wiring.usage import usage_sums
from tests.integration.usage.world import HOUR_MS, MINUTE_MS, UsageWorld, now_ms

SINCE_EVER = {"from": "2020-01-01"}


def ask(world: UsageWorld, headers: dict[str, str], **query: str) -> dict[str, Any]:
    answer = world.client.get("/usage", query_string=query, headers=headers)
    assert answer.status_code == 200, answer.json
    return dict(answer.json)


def shown(amounts: Amounts) -> dict[str, Any]:
    return {
        "requests": amounts.requests,
        "prompt_tokens": amounts.prompt_tokens,
        "completion_tokens": amounts.completion_tokens,
        "cost_usd": usd(amounts.cost_micro_usd),
    }


def test_usage_is_the_same_before_during_and_after_metering(world: UsageWorld) -> None:
    account = world.account()
    headers = world.login(account)
    records = [world.record(account.account_id, at_ms=now_ms() - place) for place in range(40)]
    whole = shown(total(world.truth(account.account_id)))
    assert whole["requests"] == 40
    assert ask(world, headers, **SINCE_EVER)["total"] == whole

    metering = threading.Thread(target=world.deliver, args=[records])
    metering.start()
    seen = [ask(world, headers, **SINCE_EVER)["total"]]
    while metering.is_alive():
        seen.append(ask(world, headers, **SINCE_EVER)["total"])
    metering.join()
    assert [answer for answer in seen if answer != whole] == []

    assert ask(world, headers, **SINCE_EVER)["total"] == whole
    assert world.rollups(account.account_id) == world.truth(account.account_id)


def test_more_unmetered_requests_than_one_transaction_reads_are_counted(world: UsageWorld) -> None:
    account = world.account()
    headers = world.login(account)
    records = [world.record(account.account_id, at_ms=now_ms() - place) for place in range(130)]
    world.deliver(records[::13])
    assert ask(world, headers, **SINCE_EVER)["total"] == shown(total(world.truth(account.account_id)))


def test_requests_unmetered_for_days_are_counted_too(world: UsageWorld) -> None:
    account = world.account()
    headers = world.login(account)
    now = now_ms()
    settled = [world.record(account.account_id, at_ms=now - 3 * DAY_MS - place) for place in range(5)]
    world.deliver(settled)
    for place in range(60):
        world.record(account.account_id, at_ms=now - 2 * DAY_MS + place * 20 * MINUTE_MS)
    assert ask(world, headers, **SINCE_EVER)["total"]["requests"] == 65


@pytest.mark.parametrize("group", ["day", "model", "token"])
def test_rows_are_grouped_and_add_up_to_the_total(world: UsageWorld, group: str) -> None:
    account = world.account()
    headers = world.login(account)
    now = now_ms()
    records = [
        world.record(
            account.account_id,
            at_ms=now - place % 2 * DAY_MS,
            model=("demo", "other")[place % 3 == 0],
            token_id=f"tok_{place % 4}",
        )
        for place in range(12)
    ]
    world.deliver(records[:7])
    world.record("usr_someone_else")
    key = {
        "day": lambda record: day_of(record.created_ms),
        "model": lambda record: record.model,
        "token": lambda record: record.token_id,
    }[group]
    expected: dict[str, Amounts] = {}
    for record in records:
        expected[key(record)] = expected.get(key(record), Amounts()) + amounts_of(record)
    answer = ask(world, headers, **SINCE_EVER, group_by=group)
    assert answer["data"] == [{"key": name, **shown(expected[name])} for name in sorted(expected)]
    assert answer["total"] == shown(total(expected))


def test_the_default_is_this_month_by_day(world: UsageWorld) -> None:
    account = world.account()
    headers = world.login(account)
    now = now_ms()
    first = datetime.fromtimestamp(now / 1000, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    month_ms = int(first.timestamp() * 1000)
    world.record(account.account_id, at_ms=month_ms)
    world.record(account.account_id, at_ms=month_ms - 1)
    assert [row["key"] for row in ask(world, headers)["data"]] == [day_of(month_ms)]


def test_bounds_are_exact_and_a_date_includes_its_whole_day(world: UsageWorld) -> None:
    account = world.account()
    headers = world.login(account)
    day_ms = now_ms() // DAY_MS * DAY_MS - 2 * DAY_MS
    moments = [day_ms - 1, day_ms, day_ms + HOUR_MS, day_ms + DAY_MS - 1, day_ms + DAY_MS]
    records = [world.record(account.account_id, at_ms=moment) for moment in moments]
    world.deliver(records[:3])
    day = day_of(day_ms)

    def count(**query: str) -> int:
        return int(ask(world, headers, **query)["total"]["requests"])

    assert count(**{"from": day, "to": day}) == 3
    assert count(**{"from": day}) == 4
    assert count(**{"from": rfc3339(day_ms + HOUR_MS), "to": rfc3339(day_ms + DAY_MS)}) == 2
    assert count(**{"from": rfc3339(day_ms), "to": rfc3339(day_ms + HOUR_MS)}) == 1
    later = rfc3339(day_ms + 3 * HOUR_MS).replace("Z", "+02:00")  # one hour after midnight, in Zulu
    assert count(**{"from": later, "to": day}) == 2
    assert count(**{"from": "2031-01-01"}) == 0


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-02-30"}, "from"),
        ({"to": "2026-11-20T12:00:00"}, "to"),
        ({"from": "2026-11-20", "to": "2026-11-19"}, "to"),
        ({"group_by": "hour"}, "group_by"),
    ],
)
def test_an_invalid_query_is_422_and_names_the_field(world: UsageWorld, query: dict[str, str], field: str) -> None:
    answer = world.client.get("/usage", query_string=query, headers=world.login(world.account()))
    assert answer.status_code == 422
    assert answer.json["code"] == "validation_error"
    assert [problem["field"] for problem in answer.json["errors"]] == [field]


@pytest.mark.parametrize("path", ["/usage", "/usage/logs"])
def test_usage_needs_a_session(world: UsageWorld, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer eyJhbGciOiJFZERTQSJ9.e30.c2ln"}):
        answer = world.client.get(path, headers=headers)
        assert (answer.status_code, answer.json["code"]) == (401, "not_authenticated")


@pytest.mark.parametrize("path", ["/usage", "/usage/logs"])
def test_an_unavailable_store_is_503_and_recovers_by_itself(
    world: UsageWorld, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    headers = world.login(world.account())

    def away(*arguments: Any) -> Any:
        raise StoreUnavailable()

    with monkeypatch.context() as down:
        down.setattr(type(stores.ledger_reader()), "_query", away)
        answer = world.client.get(path, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert world.client.get(path, headers=headers).status_code == 200


def test_the_profile_has_the_accounts_usage_of_the_month(world: UsageWorld) -> None:
    now = now_ms()
    records = [world.record(at_ms=now - place) for place in range(3)]
    world.deliver(records[:2])
    used = usage_sums().of_period("usr_a", period_of(now), now)
    assert used.requests == 3
    assert used.tokens == sum(record.total_tokens for record in records)
    assert used.cost_micro_usd == sum(record.cost_micro_usd for record in records)


@pytest.mark.parametrize(
    ("zone", "first"),
    [
        ("Asia/Kolkata", "2026-10-22"),
        ("America/Los_Angeles", "2026-10-29"),
        ("America/Los_Angeles", "2026-03-05"),
        ("Europe/Berlin", "2026-10-22"),
        ("Europe/Berlin", "2026-03-26"),
        ("UTC", "2026-10-22"),
    ],
)
def test_the_days_of_a_zone_add_up_to_their_range_through_changes_of_clocks(
    world: UsageWorld, zone: str, first: str
) -> None:
    account, random = world.account(), Random(f"{zone} {first}")
    headers = world.login(account)
    start = day_start_ms(date.fromisoformat(first), ZoneInfo(zone))
    records = [world.record(account.account_id, at_ms=start + random.randrange(-DAY_MS, 8 * DAY_MS)) for _ in range(60)]
    for edge in (start - 1, start, start + 7 * DAY_MS, start + 7 * DAY_MS + HOUR_MS):
        records.append(world.record(account.account_id, at_ms=edge))
    world.deliver(records[::2])
    days = [(date.fromisoformat(first) + timedelta(days=place)).isoformat() for place in range(7)]
    whole = ask(world, headers, **{"from": days[0], "to": days[-1], "tz": zone})
    each = [ask(world, headers, **{"from": day, "to": day, "tz": zone}) for day in days]
    assert whole["data"] == [row for answer in each for row in answer["data"]]
    for name in ("requests", "prompt_tokens", "completion_tokens"):
        assert whole["total"][name] == sum(answer["total"][name] for answer in each)
        assert whole["total"][name] == sum(row[name] for row in whole["data"])
    local = [datetime.fromtimestamp(record.created_ms / 1000, ZoneInfo(zone)).date().isoformat() for record in records]
    counts = {row["key"]: row["requests"] for row in whole["data"]}
    assert counts == {day: local.count(day) for day in days if day in local}


def test_an_unknown_zone_and_too_many_requests_for_one_are_errors_at_tz(
    world: UsageWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = world.account()
    headers = world.login(account)
    world.record(account.account_id)
    monkeypatch.setattr(sums, "ZONED_RECORDS", 0)
    for zone in ("Mars/Olympus", "localtime", "Asia/Kolkata"):
        answer = world.client.get("/usage", query_string={"tz": zone}, headers=headers)
        assert answer.status_code == 422 and answer.json["errors"][0]["field"] == "tz"
    assert world.client.get("/usage?tz=UTC", headers=headers).json["total"]["requests"] == 1
