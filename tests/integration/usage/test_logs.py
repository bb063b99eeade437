"""GET /usage/logs: each record of the own account once, newest first, with its stored content."""

from base64 import urlsafe_b64encode
from typing import Any

import pytest

from sluice.domain.gateway.contents import CUT_MARK, MAX_TEXT_BYTES, LoggedContent
from sluice.domain.periods import rfc3339
from sluice.domain.usage.pricing import usd
from sluice.services.usage.logs import cursor_for
from sluice.wiring import stores
from tests.integration.usage.world import HOUR_MS, UsageWorld, now_ms


def page(world: UsageWorld, headers: dict[str, str], **query: Any) -> dict[str, Any]:
    answer = world.client.get("/usage/logs", query_string=query, headers=headers)
    assert answer.status_code == 200, answer.json
    return dict(answer.json)


def all_pages(world: UsageWorld, headers: dict[str, str], **query: Any) -> list[list[dict[str, Any]]]:
    pages = [page(world, headers, **query)]
    while pages[-1]["next_cursor"] is not None:
        pages.append(page(world, headers, **query, cursor=pages[-1]["next_cursor"]))
    return [each["data"] for each in pages]


def keep(account_id: str, request_id: str, prompt: str, response: str, *, lives_s: int = 3600) -> None:
    now = now_ms()
    stores.hot_store().put_content(account_id, request_id, LoggedContent(prompt, response), now, now // 1000 + lives_s)


def test_an_entry_has_every_field_in_the_documented_form(world: UsageWorld) -> None:
    account = world.account()
    record = world.record(account.account_id, stream=False, ttft_ms=None)
    assert page(world, world.login(account)) == {
        "data": [
            {
                "id": record.request_id,
                "created_at": rfc3339(record.created_ms),
                "endpoint": "chat.completions",
                "model": "demo",
                "token_id": "tok_a",
                "stream": False,
                "status": 200,
                "prompt_tokens": record.prompt_tokens,
                "completion_tokens": record.completion_tokens,
                "total_tokens": record.prompt_tokens + record.completion_tokens,
                "estimated_cost_usd": usd(record.cost_micro_usd),
                "response_time_ms": record.response_time_ms,
                "ttft_ms": None,
                "finish_reason": "stop",
                "upstream": record.upstream,
                "estimated": record.estimated,
            }
        ],
        "next_cursor": None,
    }


def test_paging_shows_each_of_250_records_once_newest_first_also_through_filters(world: UsageWorld) -> None:
    account, other = world.account(), world.account()
    headers = world.login(account)
    now = now_ms()
    records = [
        world.record(
            account.account_id,
            at_ms=now - place * 1000,
            model=("demo", "other")[place % 5 == 0],
            token_id=f"tok_{place % 3}",
        )
        for place in range(250)
    ]
    for place in range(20):
        world.record(other.account_id, at_ms=now - place * 1000)

    pages = all_pages(world, headers)
    assert [len(each) for each in pages] == [20] * 12 + [10]
    assert [entry["id"] for each in pages for entry in each] == [record.request_id for record in records]

    for query in ({"model": "other"}, {"token_id": "tok_1"}, {"model": "other", "token_id": "tok_1"}, {"model": "no"}):
        wanted = [
            record.request_id
            for record in records
            if all(getattr(record, name) == value for name, value in query.items())
        ]
        found = all_pages(world, headers, **query, limit=7)
        assert [entry["id"] for each in found for entry in each] == wanted
        assert all(len(each) == 7 for each in found[:-1])


def test_a_last_page_that_is_exactly_full_has_no_cursor(world: UsageWorld) -> None:
    account = world.account()
    for place in range(3):
        world.record(account.account_id, at_ms=now_ms() - place)
    assert [len(each) for each in all_pages(world, world.login(account), limit=3)] == [3]


def test_an_account_without_requests_has_an_empty_log(world: UsageWorld) -> None:
    assert page(world, world.login(world.account())) == {"data": [], "next_cursor": None}


@pytest.mark.parametrize("limit", ["0", "101", "-1", "ten", "", "1.5"])
def test_limit_is_from_1_to_100(world: UsageWorld, limit: str) -> None:
    headers = world.login(world.account())
    answer = world.client.get("/usage/logs", query_string={"limit": limit}, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (422, "validation_error")
    assert answer.json["errors"][0]["field"] == "limit"


def test_a_foreign_or_invalid_cursor_is_refused(world: UsageWorld) -> None:
    account, other = world.account(), world.account()
    headers = world.login(account)
    theirs = [world.record(other.account_id, at_ms=now_ms() - place) for place in range(5)]
    foreign = page(world, world.login(other), limit=2)["next_cursor"]
    good = cursor_for(account.account_id, theirs[2].request_id)
    forged = [
        foreign,
        foreign[:-1],
        good[:-2] + "AA",
        good + "=",
        "x",
        "é",
        theirs[0].request_id,
        urlsafe_b64encode(f"{theirs[0].request_id}.".encode()).decode(),
        urlsafe_b64encode(b'{"account_id":"' + other.account_id.encode() + b'"}').decode(),
        urlsafe_b64encode(b"\xff\xfe").decode(),
        "A" * 200,
    ]
    for cursor in forged:
        answer = world.client.get("/usage/logs", query_string={"cursor": cursor}, headers=headers)
        assert (answer.status_code, answer.json["code"]) == (422, "validation_error"), cursor
        assert answer.json["errors"][0]["field"] == "cursor"
    # Even a valid position among another account's records is only a position in the own log.
    assert page(world, headers, cursor=good)["data"] == []


def test_a_filter_for_another_accounts_api_token_finds_nothing(world: UsageWorld) -> None:
    account, other = world.account(), world.account()
    record = world.record(other.account_id, token_id="tok_theirs")
    keep(other.account_id, record.request_id, "secret", "secret")
    assert page(world, world.login(account), token_id="tok_theirs")["data"] == []


def test_stored_content_is_shown_with_its_own_request_only(world: UsageWorld) -> None:
    account, other = world.account(), world.account()
    now = now_ms()
    with_content, without = world.record(account.account_id, at_ms=now), world.record(account.account_id, at_ms=now - 9)
    keep(account.account_id, with_content.request_id, "What is 2 + 2?", "4")
    keep(other.account_id, without.request_id, "another's", "content")
    first, second = page(world, world.login(account))["data"]
    assert (first["prompt"], first["response"]) == ("What is 2 + 2?", "4")
    assert "prompt" not in second
    assert "response" not in second


def test_content_past_its_retention_is_not_shown_even_if_it_still_exists(world: UsageWorld) -> None:
    account = world.account()
    record = world.record(account.account_id)
    keep(account.account_id, record.request_id, "old", "old", lives_s=-1)
    assert world.item("contents", account_id=account.account_id, item_id=record.request_id)["prompt"] == "old"
    assert "prompt" not in page(world, world.login(account))["data"][0]


def test_long_content_is_cut_between_characters_and_marked(world: UsageWorld) -> None:
    account = world.account()
    record = world.record(account.account_id)
    keep(account.account_id, record.request_id, "ö" * MAX_TEXT_BYTES, "short")
    entry = page(world, world.login(account))["data"][0]
    assert len(entry["prompt"].encode()) <= MAX_TEXT_BYTES
    assert entry["prompt"].endswith("ö" + CUT_MARK)
    assert entry["response"] == "short"


def test_a_full_page_of_the_longest_contents_is_complete(world: UsageWorld) -> None:
    account = world.account()
    now = now_ms()
    for place in range(100):
        record = world.record(account.account_id, at_ms=now - place)
        keep(account.account_id, record.request_id, "p" * MAX_TEXT_BYTES, "r" * MAX_TEXT_BYTES)
    entries = page(world, world.login(account), limit=100)["data"]
    assert [len(entry["prompt"]) + len(entry["response"]) for entry in entries] == [2 * MAX_TEXT_BYTES] * 100


def test_a_record_is_in_the_log_as_soon_as_it_is_written(world: UsageWorld) -> None:
    account = world.account()
    headers = world.login(account)
    for hours in (2, 1, 0):
        record = world.record(account.account_id, at_ms=now_ms() - hours * HOUR_MS)
        assert page(world, headers, limit=1)["data"][0]["id"] == record.request_id
