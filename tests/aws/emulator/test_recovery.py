"""The sweeper, run by EventBridge's schedule once a minute, repairs the failures of `test_accidents`."""

import pytest

from tests.aws.emulator.accidents import Killed, leases
from tests.aws.emulator.deployment import Deployment

pytestmark = pytest.mark.timeout(600)
LEASE_SECONDS = 30 + 10  # and the sweeper's grace period
SCHEDULE_SECONDS = 60
PATIENCE_SECONDS = 120  # and more on a busy machine


def test_a_killed_request_is_settled_once_by_the_scheduled_sweeper(deployment: Deployment, killed: Killed) -> None:
    deployment.wait_until(
        lambda: killed.request_id not in leases(deployment, killed.account_id),
        LEASE_SECONDS + SCHEDULE_SECONDS + PATIENCE_SECONDS,
        "the sweeper",
    )
    (record,) = deployment.items("LedgerTable", request_id=killed.request_id)
    assert record["account_id"] == {"S": killed.account_id}
    assert record["completion_tokens"] == {"N": "0"}
    rows = killed.person.call("GET", "/usage/logs").json()["data"]
    assert [row["status"] for row in rows if row["id"] == killed.request_id] != [200]


def test_a_refused_mail_is_sent_once_when_ses_accepts_it_again(deployment: Deployment, unsent: str) -> None:
    deployment.mails_to(unsent, seconds=2 * SCHEDULE_SECONDS + PATIENCE_SECONDS)
    (mail,) = deployment.items("MailsTable", to=unsent)
    assert mail["state"] == {"S": "sent"}
    assert int(mail["attempts"]["N"]) >= 2
    assert len(deployment.sent_to(unsent)) == 1
