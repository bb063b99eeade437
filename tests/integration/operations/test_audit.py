"""The audit log: admins' changes and accounts' security events, newest first, on a real store."""

import time
from typing import Any

import pytest

from sluice.domain.accounts.audit import Action, new_event
from sluice.domain.errors import StoreUnavailable
from tests.integration.accounts.world import PASSWORD, switch_on_throttles
from tests.integration.operations.town import Citizen, Town

DAY_MS = 86_400_000


def events(admin: Citizen, limit: int = 50) -> list[dict[str, Any]]:
    """Every page."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = admin.call("GET", f"/admin/audit?limit={limit}&cursor={cursor}")
        assert answer.status_code == 200, answer.json
        assert len(answer.json["data"]) <= limit
        found += answer.json["data"]
        cursor = answer.json["next_cursor"]
        if cursor is None:
            return found


def deeds(admin: Citizen, *actions: Action) -> list[tuple[str, str, str]]:
    return [(e["action"], e["actor"], e["target"]) for e in events(admin) if not actions or e["action"] in actions]


def test_an_admins_changes_are_logged_with_old_and_new_values(town: Town) -> None:
    admin, person = town.admin(), town.newcomer()
    path = f"/admin/users/{person.account_id}"
    admin.call("POST", path + "/suspend")
    admin.call("POST", path + "/restore")
    admin.call("PUT", path + "/limits", {"rpm": 5})
    limits, restored, suspended = [event for event in events(admin) if event["actor"] == admin.account_id][:3]
    for event in (limits, restored, suspended):
        assert event["target"] == person.account_id and event["client"] == "127.0.0.1" and event["created_at"]
    assert (limits["action"], limits["before"]["rpm"], limits["after"]["rpm"]) == ("limits_changed", 60, 5)
    assert (suspended["before"], suspended["after"]) == ({"status": "active"}, {"status": "suspended"})
    assert (restored["before"], restored["after"]) == ({"status": "suspended"}, {"status": "active"})


def test_a_refused_change_is_not_logged(town: Town) -> None:
    admin, person = town.admin(), town.newcomer()
    admin.call("POST", f"/admin/users/{admin.account_id}/suspend")
    admin.call("PUT", f"/admin/users/{person.account_id}/limits", {"rpm": -1})
    person.call("POST", f"/admin/users/{admin.account_id}/suspend")
    assert deeds(admin, Action.USER_SUSPENDED, Action.LIMITS_CHANGED) == []


def test_a_change_that_cannot_be_logged_is_an_error_and_may_be_repeated(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sluice.wiring import stores

    admin, person = town.admin(), town.newcomer()

    def away(event: object) -> None:
        raise StoreUnavailable()

    with monkeypatch.context() as broken:
        broken.setattr(stores.audit_log(), "put", away)
        answer = admin.call("POST", f"/admin/users/{person.account_id}/suspend")
        assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert person.ask().status_code == 403
    assert admin.call("POST", f"/admin/users/{person.account_id}/suspend").status_code == 200
    assert deeds(admin, Action.USER_SUSPENDED) == [("user_suspended", admin.account_id, person.account_id)]


def test_security_events_of_an_account_are_logged(town: Town) -> None:
    admin, person = town.admin(), town.newcomer()
    me = person.account_id
    person.call("POST", "/tokens/revoke-all")
    body = {"current_password": PASSWORD, "new_password": "a whole new passphrase"}
    assert person.call("POST", "/auth/change-password", body).status_code == 200
    town.world.client.post("/auth/forgot-password", json={"email": person.email})
    body = {"token": town.code_of(me, "reset_password"), "password": "yet another passphrase"}
    assert town.world.client.post("/auth/reset-password", json=body).status_code == 200
    assert [event for event in deeds(admin) if event[2] == me] == [
        ("password_reset", me, me),
        ("password_changed", me, me),
        ("tokens_revoked", me, me),
    ]


def test_a_security_event_that_cannot_be_logged_blocks_no_request(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.wiring import stores

    person = town.newcomer()

    def away(event: object) -> None:
        raise StoreUnavailable()

    monkeypatch.setattr(stores.audit_log(), "put", away)
    assert town.log_in(person.email).status_code == 200
    assert person.call("POST", "/tokens/revoke-all").status_code == 200


@pytest.fixture
def throttled(town: Town, monkeypatch: pytest.MonkeyPatch) -> Town:
    switch_on_throttles(monkeypatch)
    return town


def test_only_the_first_login_from_a_place_is_logged(throttled: Town) -> None:
    admin = throttled.admin()
    for _ in range(2):
        assert throttled.log_in(admin.email).status_code == 200
    assert deeds(admin) == [("new_place_login", admin.account_id, admin.account_id)]


def test_failed_logins_past_the_throttle_are_one_event_without_unknown_addresses(throttled: Town) -> None:
    admin, person = throttled.admin(), throttled.world.account()
    statuses = [throttled.log_in(person.email, "wrong wrong wrong").status_code for _ in range(14)]
    assert statuses == [401] * 10 + [429] * 4
    for _ in range(12):
        throttled.log_in("nobody@example.com", "wrong wrong wrong")
    assert deeds(admin, Action.LOGINS_THROTTLED) == [
        ("logins_throttled", "", ""),
        ("logins_throttled", "", person.account_id),
    ]
    assert "nobody@example.com" not in str(events(admin))


def test_pages_are_newest_first_across_days_and_have_each_event_once(town: Town) -> None:
    from sluice.wiring import stores

    admin, now_ms = town.admin(), time.time_ns() // 1_000_000
    for age in range(7):
        for place in range(3):
            at_ms = now_ms - age * DAY_MS - place * 1000
            stores.audit_log().put(new_event(Action.ROLE_CHANGED, actor="operator", target="usr_x", now_ms=at_ms))
    found = [event for event in events(admin, limit=4) if event["actor"] == "operator"]
    times = [event["created_at"] for event in found]
    assert len({event["id"] for event in found}) == len(found) == 21 and times == sorted(times, reverse=True)


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "cursor=zzz", "cursor=" + "x" * 300])
def test_an_invalid_page_query_is_422(town: Town, query: str) -> None:
    answer = town.admin().call("GET", "/admin/audit?" + query)
    assert (answer.status_code, answer.json["code"]) == (422, "validation_error")


def test_no_secret_is_in_the_log(town: Town) -> None:
    admin, person = town.admin(), town.newcomer()
    person.call(
        "POST", "/auth/change-password", {"current_password": PASSWORD, "new_password": "a whole new passphrase"}
    )
    text = str(town.everything("audit"))
    for secret in (
        PASSWORD,
        "passphrase",
        person.session["Authorization"],
        person.api_token["Authorization"],
        "argon2",
    ):
        assert secret not in text
    assert person.email not in text and admin.email not in text
