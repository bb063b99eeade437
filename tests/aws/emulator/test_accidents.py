"""What goes wrong, while it is wrong; `test_recovery` looks at the same accidents when the sweeper has come by."""

import pytest

from tests.aws.emulator.accidents import Killed, put_back
from tests.aws.emulator.deployment import Deployment
from tests.e2e.people import ask

pytestmark = pytest.mark.timeout(300)


def test_caller_of_a_killed_gateway_gets_an_error_without_its_insides(killed: Killed) -> None:
    assert killed.answer.status_code == 502
    assert "Traceback" not in killed.answer.text


def test_killed_request_holds_its_place_and_the_account_goes_on(deployment: Deployment, killed: Killed) -> None:
    assert ask(killed.person, "What is 3 + 4?", max_tokens=8).status_code == 200, "in a new environment"
    assert killed.request_id != ""


def test_mail_that_ses_refused_waits_for_another_attempt(deployment: Deployment, unsent: str) -> None:
    assert put_back(deployment, unsent) or deployment.sent_to(unsent)
