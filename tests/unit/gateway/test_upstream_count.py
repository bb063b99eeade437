"""A prompt's tokens are the model server's own count, or none."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sluice.adapters.gateway.named_models import NamedModels
from sluice.adapters.gateway.upstream import HttpUpstream
from sluice.domain import errors
from sluice.ports.gateway import UpstreamCall
from tests.servers import Handler, Server

pytestmark = pytest.mark.slow  # seconds together: not in `make test-fast`

BODY = {"model": "demo", "messages": [{"role": "user", "content": "x" * 400}]}
CALL = UpstreamCall("/tokenize", BODY, request_id="req_1", account_id="usr_1", deadline_seconds=5.0)


@pytest.fixture
def server() -> Iterator[Server]:
    """A model server that answers `server.reply`, a status and a JSON value, and keeps what it was asked."""

    class Requests(Handler):
        def do_POST(self) -> None:
            self.server.asked.append((self.path, json.loads(self.body())))  # type: ignore[attr-defined]
            status, value = self.server.reply  # type: ignore[attr-defined]
            self.answer(status, json.dumps(value).encode())

    with Server(Requests) as made:
        made.asked = []  # type: ignore[attr-defined]
        yield made


@pytest.fixture
def asking(server: Server) -> Iterator[HttpUpstream]:
    made = HttpUpstream(server.url + "/v1", connect_seconds=2.0, idle_seconds=5.0)
    yield made
    made._pool.close()


@pytest.mark.parametrize(
    ("reply", "count"),
    [
        ((200, {"count": 17, "tokens": []}), 17),
        ((200, {"tokens": []}), None),
        ((200, {"count": "17"}), None),
        ((200, {"count": -1}), None),
        ((404, {}), None),
        ((405, {}), None),
        ((501, {}), None),
    ],
)
def test_only_a_number_is_a_count(reply: Any, count: int | None, server: Server, asking: HttpUpstream) -> None:
    server.reply = reply  # type: ignore[attr-defined]
    assert asking.count(CALL) == count
    assert server.asked == [("/tokenize", BODY)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ((400, {"error": {"code": "context_length_exceeded", "message": "long"}}), errors.ContextLengthExceeded),
        ((429, {}), errors.Overloaded),
        ((500, {}), errors.ModelUnavailable),
    ],
)
def test_a_refusal_is_no_count(reply: Any, kind: type[Exception], server: Server, asking: HttpUpstream) -> None:
    server.reply = reply  # type: ignore[attr-defined]
    with pytest.raises(kind):
        asking.count(CALL)


def test_a_server_of_chats_only_is_not_asked() -> None:
    nobody = NamedModels("http://127.0.0.1:1", {"demo": "x"}, chat_only=True, connect_seconds=0.1, idle_seconds=1.0)
    assert nobody.count(CALL) is None
