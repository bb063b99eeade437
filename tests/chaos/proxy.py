"""A TCP proxy in front of the store that injects faults, one request at a time.

It parses just enough HTTP to know where a request and an answer end, so that it can cut between them.
"""

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

LOOPBACK = "127.0.0.1"
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
TARGET = re.compile(rb"x-amz-target: *\S*\.(\w+)", re.IGNORECASE)

PASS = "pass"
REFUSE = "refuse"  # reset the connection as soon as it is made
CUT_BEFORE = "cut before"  # reset after the request arrived, before the store gets it
CUT_AFTER = "cut after"  # the store makes the write; drop its answer and reset
CUT_AMID = "cut amid"  # send half of the answer, then close
THROTTLE = "throttle"  # answer as a store without capacity does
FAIL = "fail"  # answer 500 in the store's format
GARBAGE = "garbage"  # an answer that is not HTTP
EMPTY = "empty"  # 200 with an empty body
BLACKHOLE = "blackhole"  # accept the request and never answer
SLOW = "slow"  # the store makes the write; delay its answer
DRIBBLE = "dribble"  # send a byte now and then, which takes minutes
LATE = "late"  # forward the request only after the caller has given up

LATE_SECONDS = 2.5
WITHHELD_SECONDS = 60.0
SLOW_SECONDS = 0.3


@dataclass
class FaultProxy:
    """`fault(operation)` names the fault of each request, one of the constants above. `seen` lists the requests.
    `ended`: the faults that came to their end: the store answered a late request, or nobody gave up a withheld answer.
    """

    upstream_port: int
    fault: Callable[[str], str] = field(default=lambda operation: PASS)
    seen: list[tuple[str, str]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    def __post_init__(self) -> None:
        self._listener = socket.create_server((LOOPBACK, 0), backlog=256)
        self._listener.settimeout(0.1)
        self.port = self._listener.getsockname()[1]
        self._over = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def always(self, fault: str) -> None:
        self.fault = lambda operation: fault

    def once(self, fault: str, operation: str | None = None) -> None:
        """Sets the fault for the next request (of an operation) only."""
        lock, left = threading.Lock(), [fault]

        def choose(asked: str) -> str:
            with lock:
                return left.pop() if left and operation in (None, asked) else PASS

        self.fault = choose

    def stop(self) -> None:
        self._over.set()
        self._listener.close()
        for sock in list(self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(5)

    # --- helpers

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                caller, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(caller,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, caller: socket.socket) -> None:
        caller.settimeout(60)
        self._open.add(caller)
        store: list[socket.socket] = []
        try:
            if self.fault("connect") == REFUSE:
                return _reset(caller)
            while (request := _message(caller)) is not None:
                if not self._one(caller, store, request):
                    return
        except OSError:
            return
        finally:
            self._open.discard(caller)
            for sock in (caller, *store):
                sock.close()

    def _one(self, caller: socket.socket, store: list[socket.socket], request: bytes) -> bool:
        """Whether the connection stays open."""
        match = TARGET.search(request)
        operation = match.group(1).decode() if match else ""
        fault = self.fault(operation)
        self.seen.append((operation, fault))
        if fault in (CUT_BEFORE, REFUSE):
            _reset(caller)
            return False
        if fault == BLACKHOLE:
            if not self._over.wait(WITHHELD_SECONDS):
                self.ended.append(fault)
            return False
        if fault in OWN_ANSWERS:
            caller.sendall(OWN_ANSWERS[fault])
            return fault != GARBAGE
        if fault == LATE:
            self._over.wait(LATE_SECONDS)
        answer = self._asked(store, request)
        if fault == LATE:
            self.ended.append(fault)
        return self._answer(caller, fault, answer)

    def _asked(self, store: list[socket.socket], request: bytes) -> bytes:
        """The store's answer. Errors: OSError."""
        if not store:
            store.append(socket.create_connection((LOOPBACK, self.upstream_port), 5))
            self._open.add(store[0])
        store[0].sendall(request)
        answer = _message(store[0])
        if answer is None:
            raise ConnectionResetError("the store closed")
        return answer

    def _answer(self, caller: socket.socket, fault: str, answer: bytes) -> bool:
        if fault == CUT_AFTER:
            _reset(caller)
            return False
        if fault == CUT_AMID:
            caller.sendall(answer[: len(answer) - len(answer) // 4])
            return False
        if fault == DRIBBLE:
            for place in range(len(answer)):
                if self._over.wait(0.5):
                    return False
                caller.sendall(answer[place : place + 1])
            self.ended.append(fault)
            return True
        if fault == SLOW:
            time.sleep(SLOW_SECONDS)
        caller.sendall(answer)
        return True


def _reset(sock: socket.socket) -> None:
    """Sends RST, not FIN, as a killed process or a firewall does."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    sock.close()


def _message(sock: socket.socket) -> bytes | None:
    """A complete request or answer; None if the other side has closed. Errors: OSError."""
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        more = sock.recv(65_536)
        if not more:
            return None
        data += more
    length = LENGTH.search(data, 0, end + 2)
    total_bytes = end + 4 + (int(length.group(1)) if length else 0)
    while len(data) < total_bytes:
        more = sock.recv(65_536)
        if not more:
            return None
        data += more
    return data


def _own(status: str, kind: str) -> bytes:
    body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{kind}", "message": "as asked"}).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


OWN_ANSWERS = {
    THROTTLE: _own("400 Bad Request", "ThrottlingException"),
    FAIL: _own("500 Internal Server Error", "InternalServerError"),
    GARBAGE: b"HELLO\r\n\r\n",
    EMPTY: b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
}


@contextmanager
def fault_proxy(upstream_port: int) -> Iterator[FaultProxy]:
    proxy = FaultProxy(upstream_port)
    try:
        yield proxy
    finally:
        proxy.stop()
