"""Admission is exact across environments: every caller here has its own environment of the gateway."""

import time

import pytest

from tests.aws.emulator.deployment import Deployment
from tests.aws.emulator.people import limit, newcomer, with_api_token
from tests.aws.emulator.together import together, warmed_up
from tests.e2e.people import Person, ask

pytestmark = pytest.mark.timeout(900)
CALLERS = 8
LIMIT = 3  # requests a minute, so one more is allowed after twenty seconds


def test_of_many_concurrent_requests_exactly_the_limit_is_admitted(deployment: Deployment, admin: Person) -> None:
    person = newcomer(deployment)
    limit(admin, person, rpm=LIMIT, concurrency=50)
    warmed_up(person, CALLERS)
    began = time.monotonic()
    answers = together(CALLERS, lambda: ask(person, "What is 2 + 2?", max_tokens=8))
    refilled = int((time.monotonic() - began) * LIMIT / 60)
    admitted = [one for one in answers if one.status_code == 200]
    refused = [one for one in answers if one.status_code == 429]
    assert len(admitted) + len(refused) == CALLERS, [one.text for one in answers]
    assert LIMIT <= len(admitted) <= LIMIT + refilled
    assert {one.json()["error"]["code"] for one in refused} == {"rate_limit_exceeded"}
    assert all(int(one.headers["retry-after"]) >= 1 for one in refused)
    recorded = {item["request_id"]["S"] for item in deployment.items("LedgerTable")}
    assert {one.headers["x-sluice-request-id"] for one in admitted} <= recorded
    assert not {one.headers["x-sluice-request-id"] for one in refused} & recorded


def test_a_revoked_token_is_refused_on_the_next_request_in_every_environment(
    deployment: Deployment, ada: Person
) -> None:
    person = with_api_token(Person(ada.base_url, ada.email, ada.password, ada.session_token))
    warmed_up(person, 4)
    answer = person.call("POST", f"/tokens/{person.token_id}/revoke")
    assert answer.status_code == 200, answer.text
    answers = together(4, lambda: person.v1("GET", "/v1/models"))
    answers += together(4, lambda: ask(person, "What is 2 + 2?"))
    assert [one.status_code for one in answers] == [401] * 8
    assert {one.json()["error"]["code"] for one in answers} == {"invalid_api_key"}
    assert {one.json()["error"]["message"] for one in answers} == {"This API token has been revoked."}
    assert ask(ada, "What is 2 + 2?", max_tokens=8).status_code == 200, "the other token lives on"
