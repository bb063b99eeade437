"""Domain events on EventBridge: published by the deployed function with its role, and delivered by a rule."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from sluice.adapters.webhooks.buses import EventBridge
from sluice.domain.errors import StoreUnavailable
from sluice.domain.events import SOURCE, AccountVerified
from tests.aws.emulator.deployment import EVENT_BUS, Deployment
from tests.aws.emulator.people import newcomer

pytestmark = pytest.mark.timeout(900)
RULE = "everything"


@dataclass
class Listener:
    """A queue that a rule of the bus sends every event of ours to."""

    sqs: Any
    url: str

    def heard(self) -> list[dict[str, Any]]:
        """Since the last time; as EventBridge wraps them."""
        found: list[dict[str, Any]] = []
        while messages := self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                found.append(json.loads(message["Body"]))
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return found


@pytest.fixture(scope="module")
def listener(deployment: Deployment) -> Iterator[Listener]:
    with deployment.client("sqs") as sqs, deployment.client("events") as events:
        url = sqs.create_queue(QueueName="heard")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        events.put_rule(Name=RULE, EventBusName=EVENT_BUS, EventPattern=json.dumps({"source": [SOURCE]}))
        told = events.put_targets(Rule=RULE, EventBusName=EVENT_BUS, Targets=[{"Id": "heard", "Arn": arn}])
        assert told["FailedEntryCount"] == 0
        yield Listener(sqs, url)


def test_what_happens_to_an_account_reaches_who_listens_on_the_bus(deployment: Deployment, listener: Listener) -> None:
    person = newcomer(deployment)
    account_id = person.call("GET", "/account").json()["id"]
    person.call("POST", f"/tokens/{person.token_id}/revoke")
    heard: dict[str, dict[str, Any]] = {}

    def all_heard() -> bool:
        for one in listener.heard():
            if one["detail"]["account_id"] == account_id:
                heard[one["detail-type"]] = one
        return heard.keys() >= {"AccountRegistered", "AccountVerified", "TokenIssued", "TokenRevoked"}

    deployment.wait_until(all_heard, 180, "four events")
    assert {one["source"] for one in heard.values()} == {SOURCE}
    assert heard["TokenRevoked"]["detail"]["token_id"] == person.token_id
    assert person.email not in str(heard)


def test_one_call_takes_ten_events_and_what_is_not_taken_is_an_error(
    deployment: Deployment, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in deployment.emulator.keys.items():
        monkeypatch.setenv(name, value)
    at = "2026-11-30T12:00:00Z"
    events = [AccountVerified(id=f"evt_{place}", occurred_at=at, account_id="usr_ten") for place in range(11)]
    bus = EventBridge(EVENT_BUS)
    bus.publish(events[:10])
    heard: set[str] = set()

    def all_heard() -> bool:
        heard.update(one["detail"]["id"] for one in listener.heard() if one["detail"]["account_id"] == "usr_ten")
        return heard == {one.id for one in events[:10]}

    deployment.wait_until(all_heard, 120, "ten events")
    with pytest.raises(StoreUnavailable):
        bus.publish(events)
    bus._client.close()
