"""Any path, query or form that is sent to a page is answered with a page and never with a server error.

Schemathesis tests only the JSON calls of the API document; these are all other routes of the app.
"""

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.openapi import public_app
from tests.integration.accounts.world import PASSWORD
from tests.integration.pages.browser import OWN, Browser
from tests.integration.usage.world import UsageWorld
from tests.rounds import rounds

FIELDS = (
    "email", "password", "name", "token", "next", "note", "query", "cursor", "from", "to", "split", "models", "model",
    "scopes", "expires_in", "token_id", "rpm", "tpm", "concurrency", "monthly_tokens", "role", "title", "system",
    "content", "temperature", "max_tokens", "turn", "as", "form", "current_password", "new_password", "new_email",
    "store_content", "status",
)  # fmt: skip
STRANGE = (
    "", "\0", "a" * 5000, "-1", "1e309", "NaN", "9" * 40, "2026-02-30", "../../etc/passwd", "%00", "😀", "[]", "{}",
    "null", "usr_" + "a" * 16, "tok_x", "<script>", "' OR 1=1", "0001-01-01", "99999-01-01", "؟", "１２",
)  # fmt: skip
ODD = st.one_of(st.text(max_size=40), st.sampled_from(STRANGE))
PAGES = sorted(
    {
        (method, rule.rule)
        for rule in public_app().url_map.iter_rules()
        for method in (rule.methods or set()) & {"GET", "POST"}
        if rule.rule == "/" or re.match(r"/(my|manage|sign-up|log|forgot|resend|verify|reset|change|static)", rule.rule)
    }
)
NOT_MEANT = {"/my/account/delete", "/logout"}  # they would succeed, and end this test


def routes(method: str) -> list[str]:
    return [rule for one, rule in PAGES if one == method and rule not in NOT_MEANT]


@pytest.fixture
def admin(world: UsageWorld) -> Browser:
    made = Browser(world.app.test_client())
    assert made.log_in(world.account("owner@example.com", role="admin").email, PASSWORD).status == 200
    return made


def test_the_routes_of_pages_are_found() -> None:
    assert len(routes("GET")) > 20 and len(routes("POST")) > 15


@settings(max_examples=rounds(150, 40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_page_answers_with_a_server_error(admin: Browser, data: Any) -> None:
    method = data.draw(st.sampled_from(["GET", "POST"]))
    rule = data.draw(st.sampled_from(routes(method)))
    path = re.sub(r"<[^>]+>", lambda _: data.draw(st.sampled_from(["x", "usr_x", "%00", "tok_" + "a" * 16, "é"])), rule)
    fields = data.draw(st.dictionaries(st.sampled_from(FIELDS), ODD, max_size=6))
    if method == "GET":
        answer = admin.client.get(path, query_string=fields, headers={"Accept": "text/html"})
    else:
        token = admin.get("/my/account").form("/my/account/profile").fields["form_token"]
        shown = admin.get("/login").form("/login").fields["form_token"]
        members = path.startswith(("/my/", "/manage"))
        answer = admin.client.post(path, data={**fields, "form_token": token if members else shown}, headers=OWN)
    with answer:
        assert answer.status_code < 500, f"{method} {path} {fields}: {answer.get_data(as_text=True)}"
