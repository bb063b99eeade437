"""A client that sends slowly holds no thread, and a deadline ends its request, whatever it sends meanwhile."""

import json
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.integration.infra.listener.served import PATIENT, QUICK, Served, head, served
from tests.waiting import eventually

DRIPPED_HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: "
DRIPPED_BODY = head("/echo", "Content-Length: 100000") + b"{"
PIECE = b"x" * 65_536


def test_a_dripping_head_is_disconnected_at_its_deadline(quick: Served) -> None:
    with quick.open(DRIPPED_HEAD) as client:
        assert client.drip() == b""


def test_a_connection_that_sends_nothing_is_disconnected(quick: Served) -> None:
    with quick.open() as client:
        assert client.rest() == b""


@pytest.mark.parametrize("path", ["/echo", "/v1/echo", "/refused"])
@pytest.mark.parametrize("framing", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_a_dripping_body_is_answered_408(quick: Served, path: str, framing: str) -> None:
    begun = b"ffff\r\n" if "chunked" in framing else b""
    with quick.open(head(path, framing), begun) as client:
        answer, _, body = client.drip().partition(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 408 ") and b"Connection: close" in answer
    shown = json.loads(body)
    code = shown["error"]["code"] if path.startswith("/v1/") else shown["code"]
    assert code == "request_timeout"
    assert b"x-request-id" in answer


def test_a_dripping_body_that_no_view_reads_is_answered_408(quick: Served) -> None:
    with quick.open(head("/healthz", "Content-Length: 9", method="GET")) as client:
        assert client.rest().startswith(b"HTTP/1.1 408 ")


def test_a_steady_sender_may_take_longer_than_the_deadline(quick: Served) -> None:
    """16 KiB give a second more, and each piece is 64 KiB."""
    with quick.open(head("/echo", f"Content-Length: {len(PIECE) * 9}", "Connection: close") + PIECE) as client:
        for _ in range(8):
            time.sleep(0.3)
            client.sock.sendall(PIECE)
        assert client.rest().endswith(b"589824 bytes")


def test_beside_700_slow_senders_fresh_requests_are_answered_and_no_thread_waits(patient: Served) -> None:
    """More than there are threads (640)."""
    assert b" 200 " in patient.fresh()
    with ExitStack() as stack:
        for number in range(700):
            stack.enter_context(patient.open(DRIPPED_HEAD if number % 2 else DRIPPED_BODY))
        for _ in range(30):
            assert b" 200 " in patient.fresh()
        assert patient.threads() < 60


def test_clients_that_do_not_close_their_side_delay_nobody(patient: Served) -> None:
    """gunicorn's own worker waits up to two seconds for each of them, in its only loop."""
    with ExitStack() as stack:
        for _ in range(30):
            client = stack.enter_context(patient.open(head("/healthz", "Connection: close", method="GET")))
            assert b" 200 " in client.rest()
        assert b" 200 " in patient.fresh()


def test_an_answer_that_is_long_under_way_has_no_deadline_of_a_request(quick: Served) -> None:
    with quick.open(head("/stream", "Connection: close", method="GET")) as client:
        assert client.rest().count(b"part ") == 5


def test_at_the_limit_of_connections_the_oldest_of_the_greediest_address_goes(tmp_path: Path) -> None:
    with served(tmp_path, PATIENT, worker_connections=60, threads=8) as running, ExitStack() as stack:
        rest = len(DRIPPED_BODY) - len(head("/echo", "Content-Length: 100000"))
        other = stack.enter_context(running.open(DRIPPED_BODY, source="127.0.0.2"))
        slow = [stack.enter_context(running.open(DRIPPED_BODY)) for _ in range(100)]
        assert b" 200 " in running.fresh()
        with pytest.raises(ConnectionError):
            slow[0].sock.sendall(b"a")
            if not slow[0].rest():
                raise ConnectionResetError
        for client in (slow[-1], other):
            client.sock.sendall(b"a" * (100_000 - rest))
            assert client.answer().endswith(b"100000 bytes")


def test_a_machine_without_free_file_descriptors_goes_on(tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (150, 150))"
    with served(tmp_path, {}, limit) as running, ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(running.open(DRIPPED_HEAD))
        assert b" 200 " in running.fresh()


@pytest.mark.long
def test_many_deadlines_at_once_start_few_threads(quick: Served) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(quick.open(DRIPPED_BODY)) for _ in range(150)]
        assert all(client.rest().startswith(b"HTTP/1.1 408 ") for client in slow)
        assert quick.threads() < 40


def test_large_bodies_that_do_not_end_share_a_limit_of_memory(quick: Served) -> None:
    with ExitStack() as stack:
        most = head("/echo", "Content-Length: 500000") + b"x" * 400_000
        large = [stack.enter_context(quick.open(most)) for _ in range(4)]
        assert b" 200 " in quick.fresh()
        with pytest.raises(ConnectionError):
            large[0].sock.sendall(b"x")
            if not large[0].rest():
                raise ConnectionResetError
        large[-1].sock.sendall(b"x" * 100_000)
        assert large[-1].answer().endswith(b"500000 bytes")


def test_bodies_that_are_being_answered_leave_room_for_other_networks(tmp_path: Path) -> None:
    """And whoever waits is not disconnected for them."""
    whole = head("/held", "Content-Length: 400000", "Connection: close") + b"x" * 400_000
    limits = {"MOST_RUNNING_BYTES": 1_000_000, "MOST_LARGE_BYTES": 900_000}
    with served(tmp_path, PATIENT | limits) as running, ExitStack() as stack:
        waiting = stack.enter_context(running.open(whole[:-1], source="127.0.0.3"))
        first = stack.enter_context(running.open(whole))
        assert first.until(b"begun").startswith(b"HTTP/1.1 200 ")
        with running.open(whole) as client:
            assert client.rest().startswith(b"HTTP/1.1 503 ")
        other = stack.enter_context(running.open(whole, source="127.0.0.2"))
        assert other.until(b"begun").startswith(b"HTTP/1.1 200 ")
        with running.open(head("/release", "Connection: close")) as client:
            client.rest()
        for client in (first, other):
            assert client.rest().endswith(b"ended\r\n0\r\n\r\n")
        waiting.sock.sendall(b"x")
        assert waiting.rest().startswith(b"HTTP/1.1 200 ")


def test_clients_that_read_nothing_hold_no_thread(tmp_path: Path) -> None:
    """Each asks for as many answers as its socket holds, and one more."""
    asked = head("/large", method="GET") * 200
    limits = {"WRITE_SECONDS": 5, "BYTES_A_SECOND": 10_000_000}
    with served(tmp_path, limits, threads=4) as running, ExitStack() as stack:
        assert b" 200 " in running.fresh()  # from now on there is a worker
        before = running.sockets()
        deaf = [stack.enter_context(running.open(asked)) for _ in range(12)]
        for _ in range(3):
            assert b" 200 " in running.fresh()
        slow = stack.enter_context(running.open(head("/large", "Connection: close", method="GET")))
        time.sleep(0.5)
        assert len(slow.rest()) > 500_000  # a reader that is only late gets all
        eventually(lambda: running.sockets() <= before)  # seen there, because who reads is not deaf any more
        for client in deaf:
            with suppress(ConnectionError):
                while client.sock.recv(1 << 20):
                    continue


def test_answers_that_are_taken_late_are_whole_and_in_order(patient: Served) -> None:
    with patient.open(head("/large", method="GET") * 20, head("/healthz", "Connection: close", method="GET")) as client:
        time.sleep(1)
        got = client.rest()
    assert got.count(b"HTTP/1.1 200 OK") == 21 and got.endswith(b"well")
    assert got.count(b"0123456789") == 20 * 50_000


def test_an_answer_past_what_is_kept_ends_if_nobody_reads_it(tmp_path: Path) -> None:
    shorter = "from infra.local import outgoing; outgoing.WRITE_SECONDS = 1"
    with served(tmp_path, {}, shorter, threads=2) as running, ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(running.open(head("/huge", method="GET")))
        assert b" 200 " in running.fresh()


def test_a_stop_waits_for_no_slow_sender(tmp_path: Path) -> None:
    with (
        served(tmp_path, {"HEAD_SECONDS": 600, "BODY_SECONDS": 600}) as running,
        running.open(DRIPPED_HEAD),
        running.open(DRIPPED_BODY),
        running.open(head("/healthz", method="GET")) as idle,
    ):
        assert b" 200 " in idle.answer()
        running.process.terminate()
        assert running.process.wait(60) == 0


def test_the_quick_deadlines_are_constants_of_the_listener() -> None:
    from infra.local import listener

    assert all(hasattr(listener, name) for name in QUICK)
    assert (listener.HEAD_SECONDS, listener.BODY_SECONDS) == (10, 30)
