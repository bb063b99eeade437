"""Invitations: by the JSON API, in each mode of `[site] sign_up`, and every race of their one code."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sluice.adapters.tokens.keys import mailed_code_key
from sluice.domain.accounts.account import parse_address
from sluice.domain.accounts.audit import OPERATOR
from sluice.domain.mails.mailed_codes import make
from sluice.domain.periods import period_of
from sluice.domain.settings.checking import check
from sluice.services.operations.admin import Actor
from sluice.wiring import stores
from sluice.wiring.settings import owners_terms
from tests.integration.accounts.world import PASSWORD
from tests.integration.operations.town import Citizen, Town

ANN = "Ann@Elsewhere.example"
PLANS: list[dict[str, Any]] = [{"name": "free", "default": True, "rpm": 7}, {"name": "pro", "rpm": 700}]


def apply(plans: list[dict[str, Any]] = PLANS, **site: Any) -> None:
    terms = owners_terms()
    terms.change(Actor(OPERATOR), terms.read().version, check({"site": site, "plans": plans}), 1)


def invite(admin: Citizen, email: str = ANN, **more: Any) -> dict[str, Any]:
    answer = admin.call("POST", "/admin/invitations", {"email": email, **more})
    assert answer.status_code == 201, answer.json
    return dict(answer.json)


def codes(town: Town, invitation: dict[str, Any]) -> list[str]:
    """Of all mails of an invitation, the oldest first."""
    mails = [mail for mail in town.everything("mails") if mail.get("account_id") == invitation["id"]]
    mails = sorted((one for one in mails if one["kind"] == "invitation"), key=lambda one: one["created_ms"])
    return [make(mailed_code_key(), "invitation", one["mail_id"], invitation["id"]) for one in mails]


def join(town: Town, code: str | None, email: str = ANN, **more: Any) -> Any:
    body = {"email": email, "password": PASSWORD, **({"invitation": code} if code else {}), **more}
    return town.world.app.test_client(use_cookies=False).post("/auth/register", json=body)


def refused(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json["code"]


@pytest.mark.parametrize("site", [{"sign_up": "invited"}, {"sign_up": "open"},
                                  {"sign_up": "domains", "sign_up_domains": ["example.org"]}],
                         ids=lambda site: site["sign_up"])  # fmt: skip
def test_an_invited_person_registers_without_another_mail_and_has_the_plan(town: Town, site: dict[str, Any]) -> None:
    apply(**site)
    invited = invite(town.admin(), plan="pro")
    assert (invited["email"], invited["plan"], invited["sent"]) == ("Ann@elsewhere.example", "pro", 1)
    assert town.log_in(ANN).status_code == 401 and town.log_in(ANN, "").status_code in (401, 422)
    (code,) = codes(town, invited)
    answer = join(town, code, "ann@ELSEWHERE.example", name="Ann")
    assert (answer.status_code, answer.json) == (201, {"status": "verified"})
    session = town.log_in(ANN).json["session"]["token"]
    account = town.world.client.get("/account", headers={"Authorization": f"Bearer {session}"}).json
    assert (account["id"], account["name"], account["plan"]) == (invited["id"], "Ann", "pro")
    assert account["limits"]["rpm"] == 700
    assert town.mails_to("Ann@elsewhere.example") == ["invitation"]
    assert not any("ttl_s" in one for one in (*town.everything("accounts"), *town.everything("grants")))
    assert refused(join(town, code)) == (400, "invalid_token")
    boss = town.admin()
    assert boss.call("GET", "/admin/invitations").json == {"data": [], "next_cursor": None}
    actions = {event["action"] for event in boss.call("GET", "/admin/audit").json["data"]}
    assert {"user_invited", "invitation_accepted"} <= actions


def test_an_invitation_of_a_deleted_address_refills_no_quota(town: Town) -> None:
    apply(sign_up="invited")
    boss, now = town.admin(), time.time_ns() // 1_000_000
    invited = invite(boss)
    stores.used_quotas().put(parse_address(ANN).key, period_of(now), 900)
    assert join(town, codes(town, invited)[0]).status_code == 201
    assert stores.grant_store().used(invited["id"]) == (period_of(now), 900)


def test_a_stranger_does_not_learn_who_is_invited(town: Town) -> None:
    apply(sign_up="invited")
    invite(town.admin())
    known, unknown = join(town, None), join(town, None, "eve@example.com")
    assert known.status_code == unknown.status_code == 403 and known.json["detail"] == unknown.json["detail"]
    apply(sign_up="domains", sign_up_domains=["example.org"])
    known, unknown = join(town, None), join(town, None, "eve@elsewhere.example")
    assert known.status_code == unknown.status_code == 422 and known.json["errors"] == unknown.json["errors"]
    apply()
    known, unknown = join(town, None), join(town, None, "eve@example.com")
    assert (
        (known.status_code, known.json) == (unknown.status_code, unknown.json) == (202, {"status": "verification_sent"})
    )


def test_closed_is_closed_for_everybody(town: Town) -> None:
    boss = town.admin()
    apply()
    invited = invite(boss)
    join(town, None, "eve@example.com")
    eve = next(one["pk"] for one in town.everything("accounts") if one.get("email") == "eve@example.com")
    verify, reset = town.code_of(eve, "verify_email"), "/auth/forgot-password"
    assert town.world.client.post(reset, json={"email": "eve@example.com"}).status_code == 202
    reset_code = town.code_of(eve, "reset_password")
    apply(sign_up="closed")
    assert refused(boss.call("POST", "/admin/invitations", {"email": "dan@example.com"})) == (409, "conflict")
    assert refused(join(town, codes(town, invited)[0])) == (403, "forbidden")
    for path, body in {
        "/auth/register": {"email": "eve@example.com", "password": PASSWORD},
        "/auth/resend-verification": {"email": "eve@example.com"},
        "/auth/verify-email": {"token": verify},
    }.items():
        assert refused(town.world.client.post(path, json=body)) == (403, "forbidden"), path
    answer = town.world.client.post("/auth/reset-password", json={"token": reset_code, "password": PASSWORD + "!"})
    assert answer.status_code == 400
    assert next(one for one in town.everything("accounts") if one["pk"] == eve)["status"] == "pending"
    apply()
    assert town.world.client.post("/auth/verify-email", json={"token": verify}).status_code == 200


def test_a_pending_registration_of_another_domain_ends_where_domains_are_set(town: Town) -> None:
    apply()
    join(town, None)
    ann = next(one["pk"] for one in town.everything("accounts") if one.get("email_key") == ANN.lower())
    code = town.code_of(ann, "verify_email")
    apply(sign_up="domains", sign_up_domains=["example.org"])
    assert refused(town.world.client.post("/auth/verify-email", json={"token": code})) == (403, "forbidden")
    before = len(town.mails_to("Ann@elsewhere.example"))
    assert town.world.client.post("/auth/resend-verification", json={"email": ANN}).status_code == 202
    assert len(town.mails_to("Ann@elsewhere.example")) == before
    invite(town.admin(), plan="pro")  # and this lets the very registration in
    assert town.world.client.post("/auth/verify-email", json={"token": code}).status_code == 200


def test_a_member_moves_to_no_address_of_another_domain(town: Town) -> None:
    person = town.newcomer(email="eve@example.com")
    apply(sign_up="domains", sign_up_domains=["example.org"])
    for new, status in {"eve@elsewhere.example": 422, "Eve@example.com": 202, "eve@example.org": 202}.items():
        answer = person.call("POST", "/auth/change-email", {"new_email": new, "password": PASSWORD})
        assert answer.status_code == status, (new, answer.json)


def test_only_an_admin_invites(town: Town) -> None:
    invited, person = invite(town.admin()), town.newcomer()
    for method, path in {
        "GET": "",
        "POST": "",
        "DELETE": "/" + invited["id"],
    }.items():
        answer = person.call(method, "/admin/invitations" + path, {"email": "eve@example.com"})
        assert refused(answer) == (403, "forbidden")
    assert person.call("POST", f"/admin/invitations/{invited['id']}/resend").status_code == 403
    assert town.admin().call("GET", "/admin/invitations").json["data"] == [invited]


def test_what_an_invitation_must_be(town: Town) -> None:
    boss = town.admin()
    apply()
    answer = boss.call("POST", "/admin/invitations", {"email": "nobody", "plan": "gold"})
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json["errors"]] == ["email", "plan"] and "free, pro" in answer.text
    assert refused(boss.call("POST", "/admin/invitations", {"email": boss.email})) == (409, "conflict")
    invited = invite(boss)
    assert refused(boss.call("POST", "/admin/invitations", {"email": ANN.upper()})) == (409, "conflict")
    other = join(town, codes(town, invited)[0], "eve@example.com", name="\x00")
    assert [one["field"] for one in other.json["errors"]] == ["email", "name"]
    for code in ("", "x", codes(town, invited)[0][:-2] + "aa", "mail_none." + "a" * 43):
        assert refused(join(town, None, invitation=code)) == (400, "invalid_token")
    (row,) = boss.call("GET", "/admin/invitations").json["data"]
    assert row == invited and row["invited_by"] == boss.account_id and row["plan"] is None


def test_an_invitation_is_sent_again_at_most_five_times_and_only_the_newest_code_counts(town: Town) -> None:
    boss, path = town.admin(), "/admin/invitations/"
    apply()
    invited = invite(boss)
    for sent in range(2, 6):
        answer = boss.call("POST", f"{path}{invited['id']}/resend")
        assert (answer.status_code, answer.json["sent"]) == (200, sent)
    assert refused(boss.call("POST", f"{path}{invited['id']}/resend")) == (409, "conflict")
    live = {join(town, code).status_code for code in codes(town, invited)[:-1]}
    assert live == {400} and join(town, codes(town, invited)[-1]).status_code == 201
    assert refused(boss.call("POST", f"{path}{invited['id']}/resend")) == (404, "not_found")
    assert refused(boss.call("DELETE", path + invited["id"])) == (404, "not_found")


def test_a_withdrawn_invitation_leaves_nothing(town: Town) -> None:
    boss = town.admin()
    apply()
    invited = invite(boss, plan="pro")
    (code,) = codes(town, invited)
    assert boss.call("DELETE", "/admin/invitations/" + invited["id"]).status_code == 204
    for table in ("accounts", "grants", "mails"):
        assert invited["id"] not in str(town.everything(table)), table
    assert refused(join(town, code)) == (400, "invalid_token")
    assert invite(boss)["id"] != invited["id"]


def test_withdrawing_leaves_a_strangers_registration_on_the_default_plan(town: Town) -> None:
    boss = town.admin()
    apply()
    invited = invite(boss, plan="pro")
    assert join(town, None).status_code == 202
    code = town.code_of(invited["id"], "verify_email")
    assert boss.call("DELETE", "/admin/invitations/" + invited["id"]).status_code == 204
    assert town.world.client.post("/auth/verify-email", json={"token": code}).status_code == 200
    assert boss.call("GET", "/admin/users/" + invited["id"]).json["plan"] == "free"


def test_a_plan_that_is_gone_by_then_is_the_default_one(town: Town) -> None:
    boss = town.admin()
    apply()
    invited = invite(boss, plan="pro")
    apply(PLANS[:1])
    assert join(town, codes(town, invited)[0]).status_code == 201
    found = boss.call("GET", "/admin/users/" + invited["id"]).json
    assert (found["plan"], found["limits"]["rpm"]) == ("free", 7)


def test_one_code_at_once_makes_one_account_with_one_password(town: Town) -> None:
    apply()
    invited = invite(town.admin())
    (code,) = codes(town, invited)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: join(town, code, password=f"passphrase number {n}"), range(8)))
    assert sorted(one.status_code for one in answers) == [201] + [400] * 7
    winner = [one.status_code for one in answers].index(201)
    assert town.log_in(ANN, f"passphrase number {winner}").status_code == 200
    assert len([one for one in town.everything("grants") if one["account_id"] == invited["id"]]) == 1


@pytest.mark.parametrize("other", ["DELETE", "resend"])
def test_a_code_used_while_its_invitation_is_withdrawn_or_sent_again_has_one_winner(town: Town, other: str) -> None:
    boss = town.admin()
    apply()
    for turn in range(6):
        email = f"p{turn}@example.com"
        invited = invite(boss, email)
        (code,) = codes(town, invited)
        path = "/admin/invitations/" + invited["id"]
        method, path = ("DELETE", path) if other == "DELETE" else ("POST", path + "/resend")

        def end(method: str = method, path: str = path) -> int:
            return town.world.app.test_client().open(path, method=method, headers=boss.session).status_code

        with ThreadPoolExecutor(2) as pool:
            joined = pool.submit(join, town, code, email)
            ended = pool.submit(end).result()
        assert (joined.result().status_code == 201) != (ended in (200, 204)), (joined.result().status_code, ended)
        there = [one for one in town.everything("accounts") if one["pk"] == invited["id"]]
        assert (ended == 204) == (not there) and len(there) <= 1


def test_two_admins_invite_one_address_once(town: Town) -> None:
    apply()
    bosses = [town.admin(), town.admin()] * 3

    def call(boss: Citizen) -> int:
        client = town.world.app.test_client()
        return client.post("/admin/invitations", json={"email": ANN}, headers=boss.session).status_code

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(call, bosses)) == [201] + [409] * 5
    assert len(town.mails_to("Ann@elsewhere.example")) == 1
