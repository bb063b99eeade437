"""A request's deadline also holds while the model is silent."""

import socket
import threading
from collections.abc import Iterator

import pytest

from sluice.adapters.gateway.upstream import HttpUpstream
from sluice.domain.errors import UpstreamTimeout
from sluice.ports.gateway import UpstreamCall

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[]}\n\n'


@pytest.fixture
def falls_silent() -> Iterator[str]:
    """A model server that sends one event and then nothing → its address."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(HEAD + b"%x\r\n%s\r\n" % (len(EVENT), EVENT))
                over.wait(60)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        over.set()
        thread.join(10)


def test_a_silent_model_is_waited_for_only_until_the_requests_deadline(falls_silent: str) -> None:
    upstream = HttpUpstream(falls_silent, connect_seconds=60.0, idle_seconds=1_000.0)
    call = UpstreamCall("/v1/chat/completions", {}, request_id="req_1", account_id="usr_1", deadline_seconds=2.0)
    stream = upstream.open(call)
    with pytest.raises(UpstreamTimeout):
        list(stream)
    stream.close()
