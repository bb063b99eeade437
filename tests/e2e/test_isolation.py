"""Two people never see each other's things: one tries each id of the other on every route that takes one.

The routes come from the app, pages included, so a new route is tried too, or this test fails until it can be tried.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from itertools import product
from typing import Any

import pyotp
import pytest
import requests

from infra.openapi import public_app
from tests.e2e.people import TIMEOUT_SECONDS, Person, ask, newcomer, session_cookie
from tests.e2e.place import Place

PUBLIC = {"name", "model", "filename", "provider"}  # models, the pages' files and where one may log in are public
BODIES: dict[str, dict[str, Any]] = {
    "/chats/<chat_id>": {"title": "taken"},
    "/chats/<chat_id>/messages": {"content": "Whose is this?"},
    "/admin/users/<user_id>/limits": {"rpm": 1},
    "/v1/uploads/<upload_id>/complete": {"part_ids": ["part_1"]},
    "/v1/chat/completions/<completion_id>": {"metadata": {"a": "taken"}},
    "/v1/vector_stores/<vector_store_id>": {"name": "taken"},
    "/v1/vector_stores/<vector_store_id>/search": {"query": "secret"},
    "/v1/vector_stores/<vector_store_id>/files/<file_id>": {"attributes": {"a": "taken"}},
}
FIELDS = {"content": "Whose is this?", "title": "taken", "role": "admin", "rpm": "1"}
OF_ROWS = "batch_id of /v1/batches"  # that of a vector store has the same name
REFUSED = {404}
NO_ADMIN = {403}


@dataclass
class Owner:
    """A person with one of everything, and text that only they may read."""

    person: Person
    secret: str
    ids: dict[str, str] = field(default_factory=dict)


def owner(system: Place, secret: str) -> Owner:
    person = newcomer(system.base_url)
    made = Owner(person, secret)
    answer = ask(person, secret)
    assert answer.status_code == 200, answer.text
    account = person.call("GET", "/account").json()
    chat = person.call("POST", "/chats", json={"title": secret}).json()
    sent = person.call("POST", f"/chats/{chat['id']}/messages", json={"content": secret})
    assert sent.status_code == 200, sent.text
    stored = person.v1("POST", "/v1/responses", json={"model": "demo", "input": secret}).json()
    asked = {"model": "demo", "messages": [{"role": "user", "content": secret}], "store": True}
    completion = person.v1("POST", "/v1/chat/completions", json=asked).json()
    sessions = person.call("GET", "/account/sessions").json()["data"]
    made.ids = {
        "user_id": account["id"],
        "invitation_id": account["id"],  # an invitation is the account that waits
        "factor_id": factor(person),
        "identity_id": "idn_" + "0" * 32,  # no provider is set here: tests/integration/accounts/providers tries one's
        "token_id": person.token_id,
        "chat_id": chat["id"],
        "response_id": stored["id"],
        "completion_id": completion["id"],
        "session_id": sessions[0]["id"],
        "request_id": answer.headers["x-sluice-request-id"],
        **documents(person, secret),
        **batch(person, secret),
        **webhook(person),
    }
    return made


def factor(person: Person) -> str:
    app = person.call("POST", "/account/factors/totp").json()["secret"]
    assert person.call("POST", "/account/factors/totp/confirm", json={"code": pyotp.TOTP(app).now()}).status_code == 200
    return str(person.call("GET", "/account/factors").json()["data"][0]["id"])


def documents(person: Person, secret: str) -> dict[str, str]:
    upload = {"file": (f"{secret}.txt", secret.encode(), "text/plain")}
    file = person.v1("POST", "/v1/files", files=upload, data={"purpose": "assistants"}).json()
    store = person.v1("POST", "/v1/vector_stores", json={"name": secret}).json()
    body = {"file_ids": [file["id"]]}
    batch = person.v1("POST", f"/v1/vector_stores/{store['id']}/file_batches", json=body).json()
    return {"file_id": file["id"], "vector_store_id": store["id"], "batch_id": batch["id"]}


def batch(person: Person, secret: str) -> dict[str, str]:
    asked = {"model": "demo", "input": secret}
    line = json.dumps({"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": asked}).encode()
    upload = {"file": (f"{secret}.jsonl", line, "application/jsonl")}
    file = person.v1("POST", "/v1/files", files=upload, data={"purpose": "batch"}).json()
    body = {"input_file_id": file["id"], "endpoint": "/v1/responses", "completion_window": "24h"}
    begun = {"filename": f"{secret}.jsonl", "purpose": "batch", "bytes": 10, "mime_type": "application/jsonl"}
    return {
        OF_ROWS: person.v1("POST", "/v1/batches", json=body).json()["id"],
        "upload_id": person.v1("POST", "/v1/uploads", json=begun).json()["id"],
    }


def webhook(person: Person) -> dict[str, str]:
    made = person.call("POST", "/webhooks", json={"url": "https://localhost/", "events": ["response.completed"]}).json()
    assert person.call("POST", f"/webhooks/{made['id']}/test").ok
    (event,) = person.call("GET", f"/webhooks/{made['id']}/deliveries").json()["data"]
    return {"webhook_id": made["id"], "event_id": event["event_id"]}


def routes() -> Iterator[tuple[str, str]]:
    for rule in public_app().url_map.iter_rules():
        if set(rule.arguments) - PUBLIC:
            yield from ((method, rule.rule) for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}))


ROUTES = sorted(set(routes()))
PAGES = ("/my/", "/manage/")
OF_PAGES = pytest.mark.one_machine("addresses of forms have no stage", proxied=True)


@pytest.fixture(scope="module")
def ann(system: Place) -> Owner:
    return owner(system, "anns pink elephants")


@pytest.fixture(scope="module")
def bob(system: Place) -> Owner:
    return owner(system, "bobs blue whales")


def addresses(rule: str, bob: Owner, ann: Owner) -> Iterator[str]:
    """The route with ids of both people in every combination that has at least one of hers."""
    names = [name.rpartition(":")[2] for name in re.findall(r"<([^>]+)>", rule)]
    for owners in product((ann, bob), repeat=len(names)):
        if ann in owners:
            path = rule
            for name, whose in zip(names, owners, strict=True):
                known = OF_ROWS if name == "batch_id" and "/file_batches/" not in rule else name
                path = re.sub(rf"<(\w+:)?{name}>", whose.ids[known], path, count=1)
            yield path


def by_page(person: Person, method: str, path: str) -> requests.Response:
    """Calls as a browser does, with a valid form token of the person."""
    with requests.Session() as browser:
        browser.cookies.set(session_cookie(person.base_url), person.session_token)
        own = browser.get(person.base_url + "/my/account", timeout=TIMEOUT_SECONDS).text
        token = re.search(r'name="form_token" value="([^"]*)"', own)
        assert token
        data = {"form_token": unescape(token[1]), "password": person.password, **FIELDS} if method == "POST" else None
        headers = {"Origin": person.base_url, "Accept": "text/html"}
        return browser.request(
            method, person.base_url + path, data=data, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False
        )


def call(bob: Owner, method: str, rule: str, path: str) -> requests.Response:
    if rule.startswith(PAGES):
        return by_page(bob.person, method, path)
    asked = bob.person.v1 if rule.startswith("/v1/") else bob.person.call
    body = BODIES.get(rule, {}) if method in ("POST", "PATCH", "PUT") else None
    if rule == "/account/factors/<factor_id>":  # the one call to delete that has a body
        body = {"password": bob.person.password}
    if rule.endswith(("/files", "/file_batches")) and method == "POST":  # his file into her store
        body = {"file_id": bob.ids["file_id"]} if rule.endswith("/files") else {"file_ids": [bob.ids["file_id"]]}
    if rule.endswith("/parts"):
        return asked(method, path, files={"data": b"taken"})
    return asked(method, path, json=body)


@pytest.mark.parametrize(
    ("method", "rule"),
    [pytest.param(*one, marks=OF_PAGES if one[1].startswith(PAGES) else ()) for one in ROUTES],
    ids=lambda one: one,
)
def test_ids_of_another_account_are_refused(method: str, rule: str, ann: Owner, bob: Owner) -> None:
    for path in addresses(rule, bob, ann):
        answer = call(bob, method, rule, path)
        expected = NO_ADMIN if rule.startswith(("/admin/", "/manage/")) else REFUSED
        assert answer.status_code in expected, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        assert ann.secret not in answer.text and ann.person.email not in answer.text


@pytest.mark.parametrize(
    "path", ["/tokens", "/chats", "/account/sessions", "/account/export", "/usage/logs", "/usage?group_by=token"]
)
def test_lists_show_nothing_of_another_account(path: str, ann: Owner, bob: Owner) -> None:
    answer = bob.person.call("GET", path)
    assert answer.status_code == 200
    for hers in (*ann.ids.values(), ann.secret, ann.person.email):
        assert hers not in answer.text


@pytest.mark.parametrize("path", ["/v1/files", "/v1/vector_stores"])
def test_lists_show_no_documents_of_another_account(path: str, ann: Owner, bob: Owner) -> None:
    answer = bob.person.v1("GET", path)
    assert answer.status_code == 200 and bob.secret in answer.text
    assert ann.secret not in answer.text


@pytest.mark.parametrize("query", ["token_id={token_id}", "cursor={request_id}", "model=demo"])
def test_the_log_shows_only_own_requests_for_any_query(query: str, ann: Owner, bob: Owner) -> None:
    answer = bob.person.call("GET", "/usage/logs?" + query.format(**ann.ids))
    assert ann.secret not in answer.text and ann.ids["request_id"] not in answer.text


def test_a_file_of_another_account_cannot_be_read_through_an_own_store(ann: Owner, bob: Owner) -> None:
    place = f"/v1/vector_stores/{bob.ids['vector_store_id']}"
    for path, body in ((f"{place}/files", {"file_id": ann.ids["file_id"]}),
                       (f"{place}/file_batches", {"file_ids": [ann.ids["file_id"]]})):  # fmt: skip
        answer = bob.person.v1("POST", path, json=body)
        assert answer.status_code in (400, 404), answer.text
        assert ann.secret not in answer.text


def test_the_other_account_still_has_everything(ann: Owner) -> None:
    """Runs last, because tests run in the order of the file."""
    has, ids = ann.person, ann.ids
    for path in (f"/tokens/{ids['token_id']}", f"/chats/{ids['chat_id']}"):
        assert has.call("GET", path).status_code == 200
    assert has.call("GET", f"/tokens/{ids['token_id']}").json()["status"] == "active"
    assert has.call("GET", f"/chats/{ids['chat_id']}").json()["title"] == ann.secret
    assert ids["session_id"] in has.call("GET", "/account/sessions").text
    for path in (f"/v1/responses/{ids['response_id']}", f"/v1/chat/completions/{ids['completion_id']}",
                 f"/v1/files/{ids['file_id']}",
                 f"/v1/vector_stores/{ids['vector_store_id']}"):  # fmt: skip
        assert has.v1("GET", path).status_code == 200
    assert has.call("GET", "/account").json()["limits"]["rpm"] == 100_000
