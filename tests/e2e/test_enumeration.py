"""No answer shows whether an address has an account: not by status, body, headers or time."""

import random
import re
import time
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
import requests

from tests.e2e.people import TIMEOUT_SECONDS, Person, new_address, newcomer, post
from tests.e2e.place import Place
from tests.rank_test import mann_whitney

WRONG = "no password of anybody's"
CALLS: dict[str, dict[str, str]] = {
    "/auth/register": {"password": WRONG},
    "/auth/resend-verification": {},
    "/auth/forgot-password": {},
    "/auth/login": {"password": WRONG},
}
FORMS = {
    "/sign-up": {"password": WRONG, "name": ""},
    "/resend-verification": {},
    "/forgot-password": {},
    "/login": {"password": WRONG},
}
# New in each answer, some of them by API Gateway; the body comparison covers the length.
OF_EACH_REQUEST = {"date", "x-request-id", "content-length", "x-amzn-requestid", "x-amz-request-id", "x-amz-apigw-id"}
SAMPLES = 80
ALPHA = 1e-6  # one false alarm in a million runs; a missing hash gives a far smaller p (tests/unit/test_rank_test.py)


@pytest.fixture(scope="module")
def known(system: Place) -> Person:
    return newcomer(system.base_url)


def unknown() -> str:
    """An unknown address of the same length as a known one."""
    return new_address()


def comparable(answer: requests.Response, address: str) -> tuple[int, dict[str, str], str]:
    """The whole answer without the typed address and the values that are new in each answer."""
    headers = {name.lower(): value for name, value in answer.headers.items()}
    if "set-cookie" in headers:
        headers["set-cookie"] = re.sub(r"(?<==)[\w-]{20,}", "…", headers["set-cookie"])
    body = answer.text
    if "json" in headers["content-type"] and "request_id" in body:
        body = body.replace(answer.json()["request_id"], "…")
    body = re.sub(r'(?<=name="form_token" value=")[^"]*', "…", body).replace(address, "ADDRESS")
    body = body.replace(address.replace("@", "%40"), "ADDRESS")
    return answer.status_code, {name: value for name, value in headers.items() if name not in OF_EACH_REQUEST}, body


@pytest.mark.parametrize("path", sorted(CALLS))
def test_answer_of_the_api_is_the_same(path: str, system: Place, known: Person) -> None:
    answers = []
    for address in (known.email, unknown(), known.email, unknown()):
        answers.append(comparable(post(system.base_url, path, {"email": address, **CALLS[path]}), address))
    assert all(answer == answers[0] for answer in answers), answers
    assert answers[0][0] in (202, 401)


@pytest.mark.one_machine("addresses of forms have no stage", proxied=True)
@pytest.mark.parametrize("path", sorted(FORMS))
def test_answer_of_the_page_is_the_same(path: str, system: Place, known: Person) -> None:
    answers = []
    for address in (known.email, unknown(), known.email, unknown()):
        answers.append(comparable(submit(system.base_url, path, {"email": address, **FORMS[path]}), address))
    assert all(answer == answers[0] for answer in answers), answers
    assert "ADDRESS" in answers[0][2]


def submit(base_url: str, path: str, fields: dict[str, str]) -> requests.Response:
    with requests.Session() as browser:
        shown = browser.get(base_url + path, timeout=TIMEOUT_SECONDS).text
        token = re.search(r'name="form_token" value="([^"]*)"', shown)
        assert token, shown
        data = {**fields, "form_token": unescape(token[1])}
        headers = {"Origin": base_url}
        return browser.post(base_url + path, data, headers=headers, timeout=TIMEOUT_SECONDS)


def test_an_address_change_gets_the_same_answer_for_known_and_unknown_addresses(system: Place, known: Person) -> None:
    asker = newcomer(system.base_url)
    answers = []
    for address in (known.email, unknown()):
        body = {"new_email": address, "password": asker.password}
        answers.append(comparable(asker.call("POST", "/auth/change-email", json=body), address))
    assert answers[0] == answers[1] and answers[0][0] == 202


@pytest.mark.long
@pytest.mark.one_machine("an emulator's answers take unequally long")
def test_login_takes_as_long_for_a_known_address_as_for_an_unknown_one(system: Place, known: Person) -> None:
    times: dict[str, list[float]] = {"known": [], "unknown": []}
    with requests.Session() as caller:
        for kind in interleaved(SAMPLES):
            body = {"email": known.email if kind == "known" else unknown(), "password": WRONG}
            times[kind].append(seconds(caller, system.base_url + "/auth/login", body))
    p = mann_whitney(times["known"], times["unknown"])
    assert p > ALPHA, f"p = {p}: {times}"


def interleaved(samples: int) -> Iterator[str]:
    """Known and unknown in pairs of random order, after some to warm up, so that other load affects both alike."""
    chance = random.Random()
    for _ in range(samples):
        yield from chance.sample(["known", "unknown"], 2)


def seconds(caller: requests.Session, url: str, body: dict[str, Any]) -> float:
    began = time.perf_counter()
    answer = caller.post(url, json=body, timeout=TIMEOUT_SECONDS)
    taken = time.perf_counter() - began
    assert answer.status_code == 401, answer.text
    return taken
