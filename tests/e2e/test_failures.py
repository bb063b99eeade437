"""The store, the model or everything dies: answers are 503 meanwhile, the system recovers, and no data is lost."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e import people
from tests.e2e.conftest import NewSystem
from tests.e2e.hanging import PATIENT, hanging_requests
from tests.e2e.people import ask, log_in

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
SHORT_OF_PLACES = {"SLUICE_V1_PLACES": "2", **PATIENT}


def test_kill_9_of_the_store_loses_nothing(new_system: NewSystem) -> None:
    system = new_system().start()
    person = people.newcomer(system.base_url)
    revoked = person.mint(name="revoked")
    person.call("POST", f"/tokens/{revoked['id']}/revoke")
    assert ask(person, "What is 3 + 4?").status_code == 200
    before = (person.call("GET", "/account").json()["usage"], person.call("GET", "/tokens").json())
    system.wait_restarted("store", system.kill("store"))
    after = (person.call("GET", "/account").json()["usage"], person.call("GET", "/tokens").json())
    assert [t["status"] for t in after[1]["data"]] == [t["status"] for t in before[1]["data"]] == ["revoked", "active"]
    assert after[0]["tokens"] == before[0]["tokens"] > 0
    assert ask(person, "What is 3 + 4?").status_code == 200
    assert log_in(system.base_url, person.email).call("GET", "/account").status_code == 200
    person.api_token = revoked["token"]
    assert ask(person, "What is 3 + 4?").status_code == 401


def test_everything_is_there_after_a_restart(new_system: NewSystem) -> None:
    first = new_system().start()
    person = people.newcomer(first.base_url)
    assert ask(person, "What is 3 + 4?").status_code == 200
    jwks = first.get("/.well-known/jwks.json")[1]
    first.stop()
    second = new_system().start()
    assert second.get("/.well-known/jwks.json")[1] == jwks
    person.base_url = second.base_url  # on another port API tokens and sessions stay valid
    assert ask(person, "What is 3 + 4?").status_code == 200
    assert len(person.call("GET", "/usage/logs").json()["data"]) == 2


def test_a_hanging_store_is_a_503_everywhere_until_it_continues(new_system: NewSystem) -> None:
    system = new_system().start()
    person = people.newcomer(system.base_url)
    stopped = system.stop_store()  # accepts connections but never answers, which is the hardest failure
    try:
        new = {"email": people.new_address(), "password": people.PASSWORD}
        with ThreadPoolExecutor() as threads:  # each waits for its deadline
            waiting = {
                "gateway": threads.submit(ask, person, "What is 3 + 4?"),
                "account": threads.submit(person.call, "GET", "/account"),
                "register": threads.submit(people.post, system.base_url, "/auth/register", new),
                "tokens": threads.submit(person.call, "POST", "/tokens", json={"name": "x"}),
            }
        answers = {name: one.result() for name, one in waiting.items()}
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    for name, answer in answers.items():
        assert answer.status_code == 503, (name, answer.text)
        assert int(answer.headers["Retry-After"]) >= 1
        assert "sluice-" not in answer.text and "127.0.0.1" not in answer.text
    assert answers["gateway"].json()["error"]["code"] == "unavailable"
    assert answers["account"].json()["code"] == "unavailable"
    system.wait_until(lambda: ask(person, "What is 3 + 4?").status_code == 200)
    system.wait_until(lambda: system.healthy())


def test_a_killed_model_is_a_503_and_the_reservation_is_given_back(new_system: NewSystem) -> None:
    system = new_system().start()
    person = people.newcomer(system.base_url)
    assert ask(person, "What is 3 + 4?").status_code == 200
    used = person.call("GET", "/account").json()["usage"]["tokens"]
    killed = system.pid("inference")
    os.killpg(os.getpgid(killed), signal.SIGKILL)  # with its worker, which else answers until it sees that it is alone
    answer = ask(person, "What is 3 + 4?")
    if answer.status_code != 200:  # it is 200 if the supervisor restarted the model first
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
        assert person.call("GET", "/account").json()["usage"]["tokens"] == used
        newest = person.call("GET", "/usage/logs").json()["data"][0]
        assert (newest["status"], newest["total_tokens"]) == (503, 0)
    system.wait_restarted("inference", killed)
    assert ask(person, "What is 3 + 4?").json()["choices"][0]["message"]["content"] == "7"


def test_the_account_pages_answer_while_every_place_of_v1_is_taken(new_system: NewSystem) -> None:
    system = new_system(SHORT_OF_PLACES).start()
    person = people.newcomer(system.base_url)
    with hanging_requests(system, person, 2):
        refused = ask(person, "What is 3 + 4?")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
        assert int(refused.headers["Retry-After"]) >= 1
        assert person.call("GET", "/account").status_code == 200
        assert log_in(system.base_url, person.email).call("GET", "/tokens").status_code == 200
    system.wait_until(lambda: ask(person, "What is 3 + 4?").status_code == 200)
