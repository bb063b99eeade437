"""`GET /admin/usage`: sums over all accounts from the roll-ups, on a real store."""

from typing import Any

import pytest

from tests.integration.operations.town import Citizen, Town


def spent(town: Town, admin: Citizen, query: str = "") -> Any:
    """Usage, after metering has folded every record."""
    from sluice.http.auth import now_ms
    from sluice.wiring import stores

    for record in town.everything("ledger"):
        stored = stores.ledger_reader().get(record["account_id"], record["request_id"])
        assert stored is not None
        stores.rollup_store().fold([stored], now_ms())
    answer = admin.call("GET", "/admin/usage?" + query)
    assert answer.status_code == 200, answer.json
    return answer.json


def test_usage_is_the_sum_over_all_accounts_by_every_key(town: Town) -> None:
    admin, ann, bob = town.admin(), town.newcomer(), town.newcomer()
    for person, count in ((ann, 1), (bob, 2)):
        for _ in range(count):
            assert person.ask().status_code == 200
    by_account = spent(town, admin, "group_by=account")
    assert {row["key"]: row["requests"] for row in by_account["data"]} == {ann.account_id: 1, bob.account_id: 2}
    total = by_account["total"]
    assert (total["requests"], total["prompt_tokens"], total["completion_tokens"]) == (3, 30, 6)
    assert total["cost_usd"] is None and by_account["complete"] is True
    assert [(top["id"], top["email"]) for top in by_account["top_accounts"]] == [
        (bob.account_id, bob.email),
        (ann.account_id, ann.email),
    ]
    for group, keys in (("model", ["demo"]), ("token", sorted([ann.token_id, bob.token_id]))):
        found = spent(town, admin, f"group_by={group}")
        assert [row["key"] for row in found["data"]] == keys and found["total"] == total
    (day,) = spent(town, admin)["data"]
    assert day["requests"] == 3 and len(day["key"]) == len("2026-11-20")


def test_a_deleted_account_keeps_its_amounts_and_has_no_address(town: Town) -> None:
    admin, person = town.admin(), town.newcomer()
    person.ask()
    spent(town, admin)
    assert person.call("DELETE", "/account", {"password": "correct horse battery staple"}).status_code == 204
    (top,) = spent(town, admin)["top_accounts"]
    assert (top["id"], top["email"], top["requests"]) == (person.account_id, None, 1)


def test_a_span_without_requests_is_empty(town: Town) -> None:
    admin, person = town.admin(), town.newcomer()
    person.ask()
    found = spent(town, admin, "from=2020-01-01&to=2020-01-31")
    assert found["data"] == [] and found["total"]["requests"] == 0 and found["top_accounts"] == []


@pytest.mark.parametrize("query", ["group_by=hour", "from=yesterday", "from=2026-11-20&to=2026-11-10", "to=2026-02-31"])
def test_an_invalid_span_or_group_is_422(town: Town, query: str) -> None:
    answer = town.admin().call("GET", "/admin/usage?" + query)
    assert (answer.status_code, answer.json["code"]) == (422, "validation_error")
