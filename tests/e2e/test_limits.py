"""Limits from outside: of N requests at once exactly L pass a limit of L, and waiting for `Retry-After` is enough."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.e2e import people
from tests.e2e.conftest import NewSystem
from tests.e2e.hanging import PATIENT, hanging_requests
from tests.e2e.people import ask

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def at_once(
    person: people.Person, count: int, text: str = "What is 3 + 4?", **fields: object
) -> list[requests.Response]:
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(lambda _: ask(person, text, **fields), range(count)))


def by_status(answers: list[requests.Response]) -> dict[int, int]:
    statuses = [answer.status_code for answer in answers]
    return {status: statuses.count(status) for status in sorted(set(statuses))}


def test_requests_a_minute(new_system: NewSystem) -> None:
    system = new_system({"SLUICE_DEFAULT_RPM": "12"}).start()
    person = people.newcomer(system.base_url)
    began = time.monotonic()
    answers = at_once(person, 20)
    refilled = int((time.monotonic() - began) // 5)
    passed = by_status(answers)[200]
    assert 12 <= passed <= 12 + refilled
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert refused.headers["x-ratelimit-limit-requests"] == "12"
    again = ask(person, "What is 3 + 4?")
    if again.status_code == 429:
        time.sleep(int(again.headers["Retry-After"]))
        assert ask(person, "What is 3 + 4?").status_code == 200
    log = person.call("GET", "/usage/logs", params={"limit": 100}).json()["data"]
    assert len(log) == passed + 1  # a refused request leaves no record


def test_quota_of_the_month(new_system: NewSystem) -> None:
    system = new_system({"SLUICE_DEFAULT_MONTHLY_TOKENS": "400"}).start()
    person = people.newcomer(system.base_url)
    for _ in range(40):
        answer = ask(person, "What is 3 + 4?", max_tokens=4)
        if answer.status_code != 200:
            break
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "insufficient_quota")
    assert answer.headers["x-should-retry"] == "false"
    assert int(answer.headers["Retry-After"]) > 3600 or time.gmtime().tm_mday > 27
    usage = person.call("GET", "/account").json()["usage"]
    assert (
        usage["tokens"]
        == person.call("GET", "/usage").json()["total"]["prompt_tokens"]
        + (person.call("GET", "/usage").json()["total"]["completion_tokens"])
    )
    assert usage["tokens"] <= 400
    kinds = [mail["kind"] for mail in people.mails_to(system.base_url, person.email, "quota_80")]
    assert kinds == ["quota_80"]


def test_concurrent_requests(new_system: NewSystem) -> None:
    system = new_system({"SLUICE_DEFAULT_CONCURRENCY": "2", **PATIENT}).start()
    person = people.newcomer(system.base_url)
    with hanging_requests(system, person, 2):
        refused = ask(person, "What is 3 + 4?")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_concurrent_requests")
        assert refused.headers["Retry-After"] == "1"
    system.wait_until(lambda: ask(person, "What is 3 + 4?").status_code == 200)


def test_a_limit_of_zero_refuses_every_request(new_system: NewSystem) -> None:
    system = new_system({"SLUICE_DEFAULT_RPM": "0"}).start()
    person = people.newcomer(system.base_url)
    refused = ask(person, "What is 3 + 4?")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert person.v1("GET", "/v1/models").status_code == 200  # GET requests are not counted


def test_more_tokens_than_the_bucket_holds_is_a_400(new_system: NewSystem) -> None:
    system = new_system({"SLUICE_DEFAULT_TPM": "100"}).start()
    person = people.newcomer(system.base_url)
    refused = ask(person, "What is 3 + 4? " * 200)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "max_tokens")
    assert ask(person, "What is 3 + 4?").status_code == 200  # the answer's 512 by default are lowered to what fits


def test_malformed_requests_at_once_count_and_are_seen_by_their_owner(new_system: NewSystem) -> None:
    """FIELD F1, on the running product: nothing was counted, and nobody saw it."""
    system = new_system({"SLUICE_DEFAULT_RPM": "10"}).start()
    person = people.newcomer(system.base_url)
    flood = '{"model":"demo","messages":[{"role":"user","content":[' + "{}," * 300_000 + "{}]}]}"
    headers = {"Content-Type": "application/json"}
    began = time.monotonic()
    with ThreadPoolExecutor(64) as threads:
        answers = list(
            threads.map(lambda _: person.v1("POST", "/v1/chat/completions", data=flood, headers=headers), range(64))
        )
    refilled = int((time.monotonic() - began) // 6) + 1
    counts = by_status(answers)
    assert set(counts) == {400, 429} and 10 <= counts[400] <= 10 + refilled
    assert all(answer.headers["x-ratelimit-limit-requests"] == "10" for answer in answers)
    report = person.call("GET", "/usage/refusals").json()  # at once: one process counts them all
    assert {row["code"]: row["count"] for row in report["data"]} == {
        "invalid_json": counts[400],
        "rate_limit_exceeded": counts[429],
    }
    assert len(report["last"]) == 50
