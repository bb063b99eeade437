"""The steps of `make demo` through API Gateway, Lambda, DynamoDB streams and SES, connected by the template."""

import pytest

from tests.aws.emulator.deployment import Deployment
from tests.aws.emulator.people import code_sent_to
from tests.e2e.people import Person, ask, log_in, post, register

pytestmark = pytest.mark.timeout(900)


def test_a_new_user_gets_a_mail_and_its_code_works_once(deployment: Deployment) -> None:
    address = register(deployment.base_url)
    refused = post(deployment.base_url, "/auth/login", {"email": address, "password": "a quiet green harbour"})
    assert (refused.status_code, refused.json()["code"]) == (403, "email_not_verified")
    code = code_sent_to(deployment, address)
    answers = [post(deployment.base_url, "/auth/verify-email", {"token": code}) for _ in range(2)]
    assert [one.status_code for one in answers] == [200, 400]
    assert answers[1].json()["code"] == "invalid_token"
    assert log_in(deployment.base_url, address).call("GET", "/account").json()["email"] == address
    assert len(deployment.sent_to(address)) == 1


def test_a_question_is_answered_and_recorded_in_ledger_log_and_roll_up(deployment: Deployment, ada: Person) -> None:
    before = ada.call("GET", "/usage").json()["total"]
    answer = ask(ada, "What is the capital of France?", max_tokens=64, temperature=0)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert "Paris" in told["choices"][0]["message"]["content"]
    request_id = answer.headers["x-sluice-request-id"]

    (record,) = deployment.items("LedgerTable", request_id=request_id)
    assert int(record["prompt_tokens"]["N"]) == told["usage"]["prompt_tokens"]
    assert int(record["completion_tokens"]["N"]) == told["usage"]["completion_tokens"]
    (row,) = [one for one in ada.call("GET", "/usage/logs").json()["data"] if one["id"] == request_id]
    assert row["total_tokens"] == told["usage"]["total_tokens"]
    assert row["response"] == told["choices"][0]["message"]["content"]

    wanted = before["completion_tokens"] + told["usage"]["completion_tokens"]
    total = lambda: ada.call("GET", "/usage").json()["total"]  # noqa: E731
    deployment.wait_until(lambda: total()["completion_tokens"] >= wanted, 120, "the roll-up of this question")
    assert total()["requests"] > before["requests"]
    deployment.wait_until(lambda: _last_used(ada) is not None, 120, "the token's last use")


def _last_used(person: Person) -> str | None:
    used: str | None = person.call("GET", f"/tokens/{person.token_id}").json()["last_used_at"]
    return used
