"""The CSV of all accounts' usage: over the API and from the admin's page."""

import csv
import io
from datetime import date, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from sluice.domain.accounts.account import Account
from sluice.domain.errors import StoreUnavailable
from sluice.domain.periods import day_start_ms
from sluice.domain.spans import DAY_MS
from sluice.services.usage import everyone, sums
from sluice.wiring import stores
from tests.integration.accounts.world import PASSWORD
from tests.integration.pages.browser import Browser
from tests.integration.usage.world import UsageWorld


@pytest.fixture
def owner(world: UsageWorld) -> dict[str, str]:
    return world.login(world.account("owner@example.com", role="admin"))


def rows(world: UsageWorld, owner: dict[str, str], **query: str) -> list[dict[str, str]]:
    answer = world.client.get("/admin/usage.csv", query_string=query, headers=owner)
    assert answer.status_code == 200, answer.json
    assert answer.mimetype == "text/csv" and answer.headers["Content-Disposition"].startswith("attachment;")
    return list(csv.DictReader(io.StringIO(answer.get_data(as_text=True))))


@pytest.mark.parametrize(
    ("zone", "first"),
    [
        ("UTC", "2026-10-22"),
        ("Europe/Berlin", "2026-10-22"),
        ("America/Los_Angeles", "2026-03-05"),
        ("Asia/Kolkata", "2026-10-22"),
    ],
)
def test_the_days_of_each_account_add_up_to_the_range_through_changes_of_clocks(
    world: UsageWorld, owner: dict[str, str], zone: str, first: str
) -> None:
    random, start = Random(zone + first), day_start_ms(date.fromisoformat(first), ZoneInfo(zone))
    people = {account.account_id: account.email for account in (world.account(), world.account())}
    records = [
        world.record(who, at_ms=start + random.randrange(-DAY_MS, 8 * DAY_MS), model=random.choice("ab"))
        for who in people
        for _ in range(25)
    ]
    world.deliver(records)
    days = [(date.fromisoformat(first) + timedelta(days=place)).isoformat() for place in range(7)]
    whole = rows(world, owner, **{"from": days[0], "to": days[-1], "tz": zone})
    inside = [
        one
        for one in records
        if start <= one.created_ms < day_start_ms(date.fromisoformat(days[-1]), ZoneInfo(zone)) + DAY_MS
    ]
    assert sum(int(row["requests"]) for row in whole) == len(inside)
    assert sum(int(row["prompt_tokens"]) for row in whole) == sum(one.prompt_tokens for one in inside)
    each = [row for day in days for row in rows(world, owner, **{"from": day, "to": day, "tz": zone})]
    assert sorted(map(str, whole)) == sorted(map(str, each))
    assert {(row["account_id"], row["email"]) for row in whole} == set(people.items())
    assert {row["time_zone"] for row in whole} == {zone} and {row["model"] for row in whole} == {"a", "b"}
    assert [(row["account_id"], row["day"], row["model"]) for row in whole] == sorted(
        (row["account_id"], row["day"], row["model"]) for row in whole
    )


def test_no_cell_is_a_formula(world: UsageWorld, owner: dict[str, str]) -> None:
    evil = world.account("=cmd@example.com")
    world.deliver([world.record(evil.account_id, model=model) for model in ("@SUM(1)", "+1", "-2", "=1", 'a,"b"')])
    found = rows(world, owner)
    assert {row["email"] for row in found} == {"'=cmd@example.com"}
    assert sorted(row["model"] for row in found) == ["'+1", "'-2", "'=1", "'@SUM(1)", 'a,"b"']


def test_a_deleted_account_has_its_amounts_without_an_address(world: UsageWorld, owner: dict[str, str]) -> None:
    world.deliver([world.record("usr_gone")])
    (row,) = rows(world, owner)
    assert (row["account_id"], row["email"], row["requests"]) == ("usr_gone", "", "1")


def test_without_usage_there_is_a_head_only(world: UsageWorld, owner: dict[str, str]) -> None:
    for query in ({}, {"from": "2020-01-01", "to": "2020-01-31"}, {"from": "", "to": "", "tz": ""}):
        assert rows(world, owner, **query) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-11-20", "to": "2026-11-10"}, "to"),
        ({"tz": "Mars/Olympus"}, "tz"),
        ({"tz": "x" * 65}, "tz"),
    ],
)
def test_a_wrong_span_or_zone_names_its_field(
    world: UsageWorld, owner: dict[str, str], query: dict[str, str], field: str
) -> None:
    answer = world.client.get("/admin/usage.csv", query_string=query, headers=owner)
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, field)  # type: ignore[index]


def test_more_than_one_table_may_hold_is_refused_and_never_cut(
    world: UsageWorld, owner: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.deliver([world.record(), world.record(model="other")])
    for module, name, query, field in (
        (sums, "ZONED_RECORDS", {"tz": "Asia/Kolkata"}, "tz"),
        (everyone, "MOST_ROWS", {}, "from"),
    ):
        monkeypatch.setattr(module, name, 1)
        answer = world.client.get("/admin/usage.csv", query_string=query, headers=owner)
        assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, field)  # type: ignore[index]
        monkeypatch.setattr(module, name, 2)
        assert len(rows(world, owner, **query)) == 2


def test_a_store_that_fails_half_way_gives_503_and_no_half_file(
    world: UsageWorld, owner: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [world.account().account_id for _ in range(3)]
    world.deliver([world.record(who) for who in people])
    known, read = stores.ledger_reader(), [0]
    between = known.between

    def failing(*arguments: object) -> object:
        read[0] += 1
        if read[0] == 3:
            raise StoreUnavailable()
        return between(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(type(known), "between", lambda self, *arguments: failing(*arguments))
    answer = world.client.get("/admin/usage.csv?tz=Asia/Kolkata", headers=owner)
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")


def test_only_admins_get_the_file(world: UsageWorld, member: Browser, browser: Browser, ann: Account) -> None:
    assert world.client.get("/admin/usage.csv").status_code == 401
    assert world.client.get("/admin/usage.csv", headers=world.login(ann)).status_code == 403
    assert browser.get("/manage/usage.csv").status == 303
    assert member.get("/manage/usage.csv").status == 403


def test_the_page_links_to_the_file_in_utc_and_in_the_browsers_zone(world: UsageWorld, owner: dict[str, str]) -> None:
    admin = Browser(world.app.test_client())
    admin.log_in("owner@example.com", PASSWORD)
    assert "Download CSV" in admin.get("/manage/usage").html
    admin.client.set_cookie("sluice_zone", "Asia/Kolkata")
    world.deliver([world.record(at_ms=day_start_ms(date(2026, 11, 20)) - 1)])  # the 20th in India
    shown = admin.get("/manage/usage?from=2026-11-19&to=2026-11-20")
    utc, india = [link for link in shown.links if "usage.csv" in link]
    assert "2026-11-19,UTC," in admin.get(utc).html
    assert "2026-11-20,Asia/Kolkata," in admin.get(india).html
