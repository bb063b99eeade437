"""A background response ends, and a receiver hears of it: verified by the official SDK."""

import openai
import pytest

from tests.fakes.http_server import ScriptedServer
from tests.integration.gateway.conftest import Person
from tests.integration.gateway.test_background import submitted, work
from tests.integration.webhooks.conftest import Hook, Machine


def test_a_background_response_reaches_its_webhook_and_the_sdk_verifies_it(
    person: Person, hook: Hook, machine: Machine, receiver: ScriptedServer
) -> None:
    response = submitted(person)
    work(person, response)
    machine.relay()
    machine.work()
    (asked,) = receiver.asked
    assert asked.line == "POST /hook HTTP/1.1"
    client = openai.OpenAI(api_key="unused", webhook_secret=hook.secret)
    event = client.webhooks.unwrap(asked.body, asked.headers)
    assert event.type == "response.completed" and event.data.id == response["id"]
    assert event.id == asked.headers["webhook-id"] and event.object == "event"
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.unwrap(asked.body.replace(b"completed", b"cancelled"), asked.headers)
    (delivery,) = hook.deliveries()
    assert delivery["status"] == "delivered" and delivery["response_status"] == 200 and delivery["attempts"] == 1
