"""Callers that disconnect, hang or read slowly, over a real gunicorn. Generation stops, all places and leases are given
back, and one record is charged.

The account may run one request at a time and the gateway has one place on /v1, so the next answered request proves that
both are free.
"""

import json
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sluice.domain.usage.ledger import LedgerRecord
from tests import gateway_process
from tests.chaos.slow_engine import PROMPT_TOKENS, SlowEngine
from tests.integration.gateway.admission.world import Account, Engine, running_engine
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.long]
LIMITS = {"rpm": 100_000, "tpm": 100_000_000, "concurrency": 1, "monthly_tokens": 1_000_000_000}


@pytest.fixture(scope="module")
def store() -> Iterator[Engine]:
    with running_engine() as running:
        yield running


@pytest.fixture(scope="module")
def model() -> Iterator[SlowEngine]:
    engine = SlowEngine()
    yield engine
    engine.stop()


@pytest.fixture(scope="module")
def port(store: Engine, model: SlowEngine, data_dir: Path) -> Iterator[int]:
    """The port of the gateway, under the gunicorn of a local run."""
    with gateway_process.running(store.url, data_dir, model.url, SLUICE_V1_PLACES="1") as (number, _):
        yield number


class Caller:
    """An account with its API token, which calls by a plain socket."""

    def __init__(self, store: Engine, port: int, data_dir: Path, model: SlowEngine) -> None:
        self.port, self.model = port, model
        self.account = Account(store, LIMITS, token_id="tok_" + secrets.token_hex(8))
        now_s = int(time.time())
        self.account.write(live={self.account.token_id: now_s + 3600}, period=int(time.strftime("%Y%m", time.gmtime())))
        self.bearer = gateway_process.api_token(data_dir, self.account.id, self.account.token_id, "inference")

    def send(self, *, stream: bool, receive_bytes: int | None = None) -> socket.socket:
        body = {"model": "demo", "messages": [{"role": "user", "content": "go on"}], "stream": stream}
        raw = json.dumps(body).encode()
        sock = socket.socket()
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.settimeout(60)
        sock.connect(("127.0.0.1", self.port))
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {self.bearer}\r\ncontent-length: {len(raw)}\r\n\r\n"
        )
        sock.sendall(head.encode() + raw)
        return sock

    def whole(self, sock: socket.socket) -> bytes:
        with closing(sock):
            return b"".join(iter(lambda: sock.recv(65_536), b""))

    def settled(self) -> LedgerRecord:
        """The only record, as soon as nothing runs any more."""
        eventually(lambda: self.account.records() and not self.account.grant().leases, 120)
        (record,) = self.account.records()
        assert self.account.grant().period_tokens == record.total_tokens
        assert record.settled_by == "gateway"
        return record

    def next_is_answered(self) -> None:
        """Retries, because the place may be given back a moment after the lease."""
        self.model.tokens, self.model.token_bytes, self.model.every_seconds = 3, 4, 0.0
        eventually(lambda: self.whole(self.send(stream=False)).startswith(b"HTTP/1.1 200"))
        assert len(self.account.records()) == 2


@pytest.fixture
def caller(store: Engine, port: int, data_dir: Path, model: SlowEngine) -> Caller:
    model.every_seconds, model.token_bytes, model.tokens = 0.02, 4, 4000  # 80 s long
    model.generations.clear()
    return Caller(store, port, data_dir, model)


def _read_tokens(sock: socket.socket, count: int) -> bytes:
    data = b""
    while data.count(b'"content":"') < count:
        more = sock.recv(4096)
        assert more, data
        data += more
    return data


@pytest.mark.parametrize("how", ["closes", "resets"])
def test_a_caller_gone_at_token_5_stops_the_generation_and_is_charged_for_it(caller: Caller, how: str) -> None:
    sock = caller.send(stream=True)
    _read_tokens(sock, 5)
    if how == "resets":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    sock.close()

    record = caller.settled()

    (generation,) = caller.model.generations
    assert (record.status, record.finish_reason, record.prompt_tokens) == (499, "cancelled", PROMPT_TOKENS)
    assert 5 <= record.completion_tokens <= generation.made + 1
    _stopped(caller, generation)
    caller.next_is_answered()


def _stopped(caller: Caller, generation: Any) -> None:
    """Far from the end, also on a busy machine: the model goes on while the gateway has no turn."""
    eventually(lambda: generation.ended)
    assert generation.ended == "gone"
    assert generation.made < caller.model.tokens // 4


def test_a_caller_of_a_plain_answer_that_goes_stops_the_generation_too(caller: Caller) -> None:
    sock = caller.send(stream=False)
    while not caller.model.generations or caller.model.generations[0].made < 5:
        time.sleep(0.01)
    sock.close()
    record = caller.settled()
    assert record.status == 499
    assert record.completion_tokens >= 5
    _stopped(caller, caller.model.generations[0])
    caller.next_is_answered()


def test_a_caller_that_stops_reading_is_disconnected(caller: Caller) -> None:
    """The caller stays connected but stops reading: the kernel's buffers fill, a write waits, and the stream ends."""
    caller.model.token_bytes, caller.model.every_seconds, caller.model.tokens = 16_384, 0.005, 4000
    sock = caller.send(stream=True, receive_bytes=4096)
    with closing(sock):
        _read_tokens(sock, 1)
        record = caller.settled()
        (generation,) = caller.model.generations
        assert (record.status, record.finish_reason) == (499, "cancelled")
        assert record.completion_tokens <= generation.made + 1
        assert generation.made < 4000
        caller.next_is_answered()


def test_a_slow_reader_gets_the_whole_answer_and_is_charged_once(caller: Caller) -> None:
    """It reads far more slowly than the model writes, but it reads, so the gateway waits for it."""
    caller.model.token_bytes, caller.model.every_seconds, caller.model.tokens = 2048, 0.0, 400
    sock, got = caller.send(stream=True, receive_bytes=4096), b""
    with closing(sock):
        while block := sock.recv(16_384):
            got += block
            time.sleep(0.02)
    text = re.sub(rb"\r\n[0-9a-fA-F]+\r\n", b"", got)
    assert b"data: [DONE]" in got
    assert text.count(b"x") >= 400 * 2048
    record = caller.settled()
    assert (record.status, record.completion_tokens, record.finish_reason) == (200, 400, "stop")
    caller.next_is_answered()


@pytest.mark.parametrize(
    ("change", "code", "status"),
    [
        ({"live": {"M": {}}}, b'"code":"invalid_api_key"', 401),
        ({"standing": "suspended"}, b'"code":"account_suspended"', 403),
    ],
    ids=["revoked", "suspended"],
)
def test_a_running_stream_ends_with_an_error_event_once_its_caller_is_refused(
    caller: Caller, change: dict[str, Any], code: bytes, status: int
) -> None:
    sock = caller.send(stream=True)  # so long that only a checkpoint can end it
    _read_tokens(sock, 5)
    caller.account.item = caller.account.raw()
    caller.account.write(**change)
    rest = caller.whole(sock)

    last = [line for line in rest.splitlines() if line.startswith(b"data:")][-1]
    assert code in last
    assert b"[DONE]" not in rest
    record = caller.settled()
    (generation,) = caller.model.generations
    assert record.status == status
    assert 5 <= record.completion_tokens <= generation.made + 1
    eventually(lambda: generation.ended)
    assert generation.ended == "gone"
    assert generation.made < caller.model.tokens // 4  # 20 s; the documented limit is 5 s
