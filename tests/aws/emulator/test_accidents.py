"""The state during failures; `test_recovery` tests the same failures after the sweeper has run."""

import pytest

from tests.aws.emulator.accidents import Killed, put_back
from tests.aws.emulator.deployment import Deployment
from tests.e2e.people import ask

pytestmark = pytest.mark.timeout(900)


def test_the_caller_of_a_killed_gateway_gets_a_502_without_a_traceback(killed: Killed) -> None:
    assert killed.answer.status_code == 502
    assert "Traceback" not in killed.answer.text


def test_after_a_killed_request_the_account_can_go_on(deployment: Deployment, killed: Killed) -> None:
    assert ask(killed.person, "What is 3 + 4?", max_tokens=8).status_code == 200, "in a new environment"
    assert killed.request_id != ""


def test_a_mail_that_ses_refused_waits_for_another_attempt(deployment: Deployment, unsent: str) -> None:
    assert put_back(deployment, unsent) or deployment.sent_to(unsent)
