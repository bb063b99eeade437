"""What a model server lists is remembered, and one that is silent holds up few requests."""

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, Lock
from types import SimpleNamespace
from typing import Any

import pytest

from sluice.domain.errors import ModelUnavailable
from sluice.services.gateway import model_list
from sluice.services.gateway.model_list import FRESH_SECONDS, RETRY_SECONDS, ModelList

SILENCE_SECONDS = 4.0


class Silent:
    """A server that answers nothing until the caller gives up."""

    def __init__(self) -> None:
        self.now_s, self.asked = 0.0, 0
        self.meanwhile: list[Any] = []

    def models(self) -> list[dict[str, Any]]:
        self.asked += 1
        for work in self.meanwhile:
            work()
        self.now_s += SILENCE_SECONDS
        raise ModelUnavailable()


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Silent:
    server = Silent()
    monkeypatch.setattr(model_list, "time", SimpleNamespace(monotonic=lambda: server.now_s))
    return server


@pytest.mark.parametrize("pause", [RETRY_SECONDS, FRESH_SECONDS])
def test_those_who_waited_for_a_silent_server_do_not_ask_it_one_after_the_other(silent: Silent, pause: float) -> None:
    listed: Any = ModelList(silent, pause)  # type: ignore[arg-type]
    for _ in range(5):
        with pytest.raises(ModelUnavailable):
            listed.find("demo")
    assert silent.asked == 1
    silent.now_s += pause + 0.1
    with pytest.raises(ModelUnavailable):
        listed.all()
    assert silent.asked == 2


def test_while_one_request_asks_a_silent_server_again_the_others_do_not_wait(silent: Silent) -> None:
    listed = ModelList(silent)  # type: ignore[arg-type]
    with pytest.raises(ModelUnavailable):
        listed.all()
    silent.now_s += RETRY_SECONDS + 0.1
    with ThreadPoolExecutor(1) as other:

        def another() -> None:
            silent.now_s += RETRY_SECONDS + 0.1
            assert isinstance(other.submit(listed.find, "demo").exception(timeout=60), ModelUnavailable)

        silent.meanwhile.append(another)
        with pytest.raises(ModelUnavailable):
            listed.all()
    assert silent.asked == 2


class Watched:
    """A lock that says when a second one wants it."""

    def __init__(self) -> None:
        self._lock, self.wanted, self.wants = Lock(), Event(), 0
        self.release = self._lock.release

    def acquire(self, blocking: bool = True) -> bool:
        self.wants += 1
        if self.wants == 2:
            self.wanted.set()
        return self._lock.acquire(blocking)


def test_those_who_come_while_the_first_list_is_asked_for_wait_for_it() -> None:
    """The chat's page asks for its list of models while the first message is sent."""
    lock = Watched()
    found: list[Future[Any]] = []

    class Server:
        def models(self) -> list[dict[str, Any]]:
            second: Future[Any] = other.submit(listed.find, "demo")
            second.add_done_callback(lambda _: lock.wanted.set())
            found.append(second)
            assert lock.wanted.wait(60)
            return [{"id": "demo"}]

    with ThreadPoolExecutor(1) as other:
        listed: Any = ModelList(Server())  # type: ignore[arg-type]
        listed._asking = lock
        assert listed.find("demo") == {"id": "demo"}
        assert found[0].result(60) == {"id": "demo"} and len(found) == 1
