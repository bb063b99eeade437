"""Plans of accounts: an admin chooses one, and the account sees it with its limits. On a real store."""

from typing import Any

import pytest

from tests.integration.operations.town import Town
from tests.integration.settings.test_admin_settings import put

PLANS = [
    {"name": "free", "default": True, "rpm": 60, "monthly_usd": "1.00"},
    {"name": "pro", "rpm": 600, "tpm": 90_000, "monthly_usd": "50.00"},
]


def choose(admin: Any, person: Any, plan: Any) -> Any:
    return admin.call("POST", f"/admin/users/{person.account_id}/plan", {"plan": plan})


def test_without_plans_an_account_has_none(town: Town) -> None:
    account = town.newcomer().call("GET", "/account").json
    assert account["plan"] is None and account["limits"]["monthly_usd"] is None


def test_a_chosen_plan_and_its_limits_are_seen_at_once_by_admin_and_owner(town: Town) -> None:
    admin, ann = town.admin(), town.newcomer()
    put(admin, 0, plans=PLANS)
    assert ann.call("GET", "/account").json["plan"] == "free"
    chosen = choose(admin, ann, "pro")
    assert chosen.status_code == 200
    own = ann.call("GET", "/account").json
    for seen in (chosen.json, own, admin.call("GET", f"/admin/users/{ann.account_id}").json):
        assert (seen["plan"], seen["limits"]["rpm"], seen["limits"]["tpm"]) == ("pro", 600, 90_000)
        assert seen["limits"]["monthly_usd"] == 50.0
    assert ann.call("GET", "/my/account").get_data(as_text=True).count("$50.000000") == 1
    event = admin.call("GET", "/admin/audit?limit=1").json["data"][0]
    assert (event["action"], event["after"]) == ("plan_changed", {"plan": "pro"})


@pytest.mark.parametrize("plan", ["gold", "", "Pro", None, 5, "x" * 65])
def test_a_plan_that_does_not_exist_is_422_and_changes_nothing(town: Town, plan: Any) -> None:
    admin, ann = town.admin(), town.newcomer()
    put(admin, 0, plans=PLANS)
    refused = choose(admin, ann, plan)
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "plan")
    if plan == "gold":
        assert "free, pro" in refused.json["errors"][0]["message"]
    assert ann.call("GET", "/account").json["plan"] == "free"


def test_only_an_admin_chooses_a_plan_and_only_of_an_account(town: Town) -> None:
    admin, ann = town.admin(), town.newcomer()
    put(admin, 0, plans=PLANS)
    assert choose(ann, ann, "pro").status_code == 403
    assert admin.call("POST", "/admin/users/usr_none/plan", {"plan": "pro"}).status_code == 404


def test_a_plan_that_is_gone_is_the_default_one(town: Town) -> None:
    admin, ann = town.admin(), town.newcomer()
    put(admin, 0, plans=PLANS)
    choose(admin, ann, "pro")
    put(admin, 1, plans=PLANS[:1])
    account = ann.call("GET", "/account").json
    assert (account["plan"], account["limits"]["rpm"], account["limits"]["monthly_usd"]) == ("free", 60, 1.0)
