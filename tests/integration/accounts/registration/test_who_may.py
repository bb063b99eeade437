"""`[site] sign_up`: who may make an account, by the API and by the page."""

from typing import Any

import pytest

from sluice.domain.accounts.audit import OPERATOR
from sluice.domain.settings.checking import check
from sluice.services.operations.admin import Actor
from sluice.wiring.settings import owners_terms
from tests.integration.accounts.registration.world import Desk
from tests.integration.pages.browser import Browser

WORDS = {"closed": "Sign-up is closed", "invited": "Sign-up is by invitation"}


def apply(**site: Any) -> None:
    terms = owners_terms()
    terms.change(Actor(OPERATOR), terms.read().version, check({"site": site}), 1)


@pytest.mark.parametrize("wanted", ["closed", "invited"])
def test_nobody_signs_up_where_it_is_closed_or_by_invitation(desk: Desk, wanted: str) -> None:
    apply(sign_up=wanted)
    refused = desk.register("ann@example.com")
    assert (refused.status_code, refused.json["code"]) == (403, "forbidden")
    assert refused.json["detail"] == WORDS[wanted] + "."
    page = Browser(desk.app.test_client()).get("/sign-up")
    assert page.status == 200 and WORDS[wanted] in page.text and [form.action for form in page.forms] == ["/language"]
    assert "/sign-up" not in page.links and desk.items("accounts") == []


def test_a_form_that_was_open_when_sign_up_closed_says_so(desk: Desk) -> None:
    browser = Browser(desk.app.test_client())
    form = browser.get("/sign-up")
    apply(sign_up="closed")
    page = browser.submit(form, "/sign-up", email="ann@example.com", password="correct horse battery", name="")
    assert page.status == 403 and WORDS["closed"] in page.text and desk.items("accounts") == []


def test_only_addresses_of_the_domains_sign_up(desk: Desk) -> None:
    apply(sign_up="domains", sign_up_domains=["Example.org", "bücher.example"])
    refused = desk.register("ann@example.com", "short")
    assert refused.status_code == 422
    assert [problem["field"] for problem in refused.json["errors"]] == ["email", "password"]
    assert "Example.org, bücher.example" in refused.json["errors"][0]["message"]
    for known in ("ann@example.org", "bob@EXAMPLE.ORG", "eve@bücher.example", "dan@xn--bcher-kva.example"):
        assert desk.register(known).status_code == 202
    assert desk.register("ann@sub.example.org").status_code == 422
    page = Browser(desk.app.test_client()).get("/sign-up")
    assert page.forms and "Example.org, bücher.example" in page.text
