"""`[site] terms_url` and `terms_version`: nothing works by session before they are accepted, once for each version."""

from typing import Any

import pytest

from sluice.domain.accounts.audit import OPERATOR
from sluice.domain.settings.checking import WrongSettings, check
from sluice.services.operations.admin import Actor
from sluice.wiring.settings import owners_terms
from tests.integration.accounts.world import PASSWORD
from tests.integration.operations.town import Citizen, Town
from tests.integration.pages.browser import Browser

URL = "https://ada.example/terms"
REFUSED = [
    ("GET", "/tokens"),
    ("POST", "/tokens"),
    ("GET", "/chats"),
    ("GET", "/usage"),
    ("GET", "/account/sessions"),
    ("GET", "/account/factors"),
    ("POST", "/auth/change-password"),
]


def apply(version: str = "2026-11", url: str | None = URL) -> None:
    terms = owners_terms()
    site = {"terms_url": url, "terms_version": version} if url else {}
    terms.change(Actor(OPERATOR), terms.read().version, check({"site": site}), 1)


def code(person: Citizen, method: str, path: str, body: Any = None) -> tuple[int, str]:
    answer = person.call(method, path, body)
    return answer.status_code, (answer.json or {}).get("code", "")


def test_a_session_does_nothing_before_the_terms_are_accepted(town: Town) -> None:
    person = town.newcomer()
    apply()
    for method, path in REFUSED:
        assert code(person, method, path, {} if method == "POST" else None) == (403, "terms_not_accepted"), path
    named = person.call("GET", "/account").json["terms"]
    assert named == {"url": URL, "version": "2026-11", "accepted": None, "accepted_at": None}
    accepted = person.call("PATCH", "/account", {"terms": "2026-11"})
    assert accepted.json["terms"]["accepted"] == "2026-11" and accepted.json["terms"]["accepted_at"]
    assert code(person, "GET", "/tokens") == (200, "")
    assert person.call("GET", "/account/export").json["account"]["terms"] == "2026-11"


def test_whoever_does_not_accept_can_take_the_data_and_go(town: Town) -> None:
    person = town.newcomer()
    apply()
    assert code(person, "GET", "/account/export") == (200, "")
    assert code(person, "PATCH", "/account", {"name": "Bo"}) == (200, "")
    assert code(person, "DELETE", "/account", {"password": PASSWORD}) == (204, "")


def test_another_version_is_asked_for_again_and_an_old_one_accepts_nothing(town: Town) -> None:
    person = town.newcomer()
    apply()
    person.call("PATCH", "/account", {"terms": "2026-11"})
    apply("2026-12")
    assert code(person, "GET", "/tokens") == (403, "terms_not_accepted")
    for stale in ("2026-11", "", "2026-12 "):
        assert code(person, "PATCH", "/account", {"terms": stale, "name": "Eve"}) == (409, "conflict")
    assert person.call("GET", "/account").json["name"] == "Ann", "a refused call changes nothing"
    assert code(person, "PATCH", "/account", {"terms": "2026-12"}) == (200, "")
    assert code(person, "GET", "/tokens") == (200, "")
    apply(url=None)
    assert person.call("GET", "/account").json["terms"] is None


def test_api_tokens_go_on_and_admins_stay_able_to_act(town: Town) -> None:
    person, admin = town.newcomer(), town.admin()
    apply()
    assert person.ask().status_code == 200, "a program does not read terms"
    assert code(admin, "GET", "/admin/users") == (200, "")
    assert code(admin, "GET", "/tokens") == (403, "terms_not_accepted")


@pytest.mark.parametrize("site", [{"terms_url": URL}, {"terms_version": "1"}, {"terms_url": "javascript:alert(1)"}])
def test_settings_that_name_half_of_it_or_no_address_are_refused(site: dict[str, Any]) -> None:
    with pytest.raises(WrongSettings):
        check({"site": site})


def test_every_page_asks_for_them_and_leads_on_to_where_one_was_going(town: Town) -> None:
    person = town.newcomer()
    apply()
    browser = Browser(town.world.app.test_client())
    assert URL in browser.get("/sign-up").links
    asked = browser.log_in(person.email, PASSWORD)
    assert asked.status == 403 and URL in asked.links and {"/account/export", "/my/account/delete"} <= {*asked.links}
    assert browser.get("/my/account/delete").status == 200
    asked = browser.get("/my/tokens")
    apply("2026-12")
    again = browser.submit(asked, "/my/account/profile")
    assert again.status == 403 and "2026-12" in again.text, "those that were shown are not in force any more"
    assert browser.submit(again, "/my/account/profile").status == 200
    assert browser.get("/my/usage").status == 200


def test_whoever_does_not_accept_logs_out_by_the_page(town: Town) -> None:
    person = town.newcomer()
    apply()
    browser = Browser(town.world.app.test_client())
    browser.log_in(person.email, PASSWORD)
    assert "You are logged out." in browser.submit(browser.get("/logout"), "/logout").text
    assert browser.get("/my/account/delete").status == 303
