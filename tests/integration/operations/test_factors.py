"""Admins and second factors: their own, before they change anything, and those that others have lost."""

import time

import pyotp

from tests.integration.accounts.world import PASSWORD
from tests.integration.operations.town import Citizen, Town


def with_app(person: Citizen) -> pyotp.TOTP:
    app = pyotp.TOTP(person.call("POST", "/account/factors/totp").json["secret"])
    assert person.call("POST", "/account/factors/totp/confirm", {"code": app.now()}).status_code == 200
    return app


def test_an_admin_with_a_factor_needs_it_fresh_for_changes_and_for_nothing_else(town: Town) -> None:
    boss, ann = town.admin(), town.newcomer()
    late = dict(boss.session)
    boss.session = {"Authorization": "Bearer " + town.log_in(boss.email).json["session"]["token"]}
    changes = [
        ("POST", f"/admin/users/{ann.account_id}/suspend", None),
        ("POST", f"/admin/users/{ann.account_id}/restore", None),
        ("PUT", f"/admin/users/{ann.account_id}/limits", {"rpm": 7}),
        ("DELETE", f"/admin/users/{ann.account_id}/factors", None),
    ]
    for method, path, body in changes:  # without a factor as ever
        assert boss.call(method, path, body).status_code in (200, 204)
    app = with_app(boss)
    boss.session, confirmed = late, boss.session
    for method, path, body in [*changes, ("PUT", "/admin/settings", {})]:
        refused = boss.call(method, path, body)
        assert (refused.status_code, refused.json["code"]) == (403, "confirmation_required"), path
    assert boss.call("GET", f"/admin/users/{ann.account_id}").status_code == 200
    assert boss.call("PATCH", "/account", {"name": "Boss"}).status_code == 200  # one's own
    code = app.at(time.time() + 30)
    assert boss.call("POST", "/account/factors/confirm", {"code": code}).status_code == 200
    for session in (boss.session, confirmed):
        boss.session = session
        assert boss.call("POST", f"/admin/users/{ann.account_id}/suspend").status_code == 200


def test_an_admin_switches_off_lost_factors_which_is_audited_and_mailed(town: Town) -> None:
    boss, ann = town.admin(), town.newcomer()
    with_app(ann)
    assert town.log_in(ann.email).json["status"] == "factor_required"
    path = f"/admin/users/{ann.account_id}/factors"
    assert ann.call("DELETE", path).status_code == 403
    assert [boss.call("DELETE", path).status_code for _ in range(2)] == [204, 204]
    assert town.log_in(ann.email).json["session"]
    assert boss.call("DELETE", "/admin/users/usr_0000000000000000/factors").status_code == 404
    events = [one for one in town.everything("audit") if one["action"] == "factors_removed"]
    assert {(one["actor"], one["target"]) for one in events} == {(boss.account_id, ann.account_id)}
    assert sorted(one["before"]["factors"] for one in events) == [0, 1]
    removed = [one for one in town.everything("mails") if one["kind"] == "factor_removed"]
    assert [(one["account_id"], one["data"]["by_admin"]) for one in removed] == [(ann.account_id, 1)]


def test_a_reset_of_the_password_does_not_bypass_a_factor(town: Town) -> None:
    ann = town.newcomer()
    app = with_app(ann)
    assert ann.client.post("/auth/forgot-password", json={"email": ann.email}).status_code == 202
    body = {"token": town.code_of(ann.account_id, "reset_password"), "password": "a whole new passphrase"}
    assert ann.client.post("/auth/reset-password", json=body).status_code == 200
    assert town.log_in(ann.email, PASSWORD).status_code == 401
    asked = town.log_in(ann.email, "a whole new passphrase").json
    assert asked["status"] == "factor_required" and "session" not in asked
    proof = {"challenge": asked["challenge"], "code": app.at(time.time() + 30)}
    assert ann.client.post("/auth/login/factor", json=proof).json["session"]


def test_an_erased_account_leaves_no_factor(town: Town) -> None:
    ann = town.newcomer()
    with_app(ann)
    ann.call("POST", "/account/factors/passkeys/options")
    assert ann.call("DELETE", "/account", {"password": PASSWORD}).status_code == 204
    assert not [one for one in town.everything("accounts") if "factors" in one]
