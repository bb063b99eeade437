"""With every process of a machine: a background response ends, and its webhook is tried; inside the house it is not."""

import pytest

from tests.e2e.people import newcomer
from tests.e2e.place import Place
from tests.waiting import eventually

pytestmark = pytest.mark.e2e


def test_the_end_of_a_background_response_goes_from_the_stream_to_an_attempt(system: Place) -> None:
    ann = newcomer(system.base_url)
    made = ann.call("POST", "/webhooks", json={"url": "https://localhost/", "events": ["response.completed"]})
    assert made.status_code == 201, made.text
    response = ann.openai.responses.create(model="demo", input="What is 2 + 2?", background=True, max_output_tokens=64)
    path = f"/webhooks/{made.json()['id']}/deliveries"

    def tried() -> bool:
        found = ann.call("GET", path).json()["data"]
        return bool(found) and found[0]["attempts"] > 0

    eventually(tried, 60)
    (delivery,) = ann.call("GET", path).json()["data"]
    assert delivery["data"] == {"id": response.id} and delivery["type"].startswith("response.")
    assert (delivery["status"], delivery["problem"]) == ("waiting", "NotAllowed")
