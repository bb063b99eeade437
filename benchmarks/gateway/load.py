"""The load generator: N callers over raw sockets in one thread, so that it uses little CPU.

Reads a plan (JSON) from stdin, writes the results (JSON) to stdout. Run as `python load.py < plan`.

    {"host", "port", "requests": ["POST … raw text", one per caller], "seconds", "warm_seconds",
     "hold": false,                        true: each caller sends one request, and reads until stdin is closed
     "read_bytes": 0, "read_pause": 1.0}   how much a slow reader reads, and the seconds between reads
"""

import json
import re
import select
import socket
import sys
import time

LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked")
END_OF_HEAD = b"\r\n\r\n"
END_OF_CHUNKS = b"0\r\n\r\n"


class Caller:
    """One connection, one request at a time."""

    def __init__(self, host: str, port: int, request: bytes, small_window: bool = False) -> None:
        self.sock = socket.socket()
        if small_window:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.connect((host, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = request
        self.received = b""
        self.sent_at = self.first_at = 0.0
        self.need = 0  # length of the response in bytes, once known; -1: chunked
        self.body_at = 0
        self.status = 0

    def ask(self) -> None:
        self.received, self.need, self.status, self.first_at = b"", 0, 0, 0.0
        self.sent_at = time.perf_counter()
        self.sock.sendall(self.request)

    def take(self) -> bool:
        """Receive once. Returns whether the response is complete. Raises OSError, or ValueError (closed early)."""
        data = self.sock.recv(262_144)
        if not data:
            raise ValueError("closed early")
        received = self.received = self.received + data if self.received else data
        if not self.need:
            end = received.find(END_OF_HEAD)
            if end < 0:
                return False
            self.status = int(received[9:12])
            head, self.body_at = received[: end + 2], end + 4
            if CHUNKED.search(head):
                self.need = -1
            else:
                length = LENGTH.search(head)
                self.need = end + 4 + (int(length[1]) if length else 0)
        if not self.first_at and (self.need > 0 or b"data:" in received):
            self.first_at = time.perf_counter()
        if self.need > 0:
            return len(received) >= self.need
        return len(received) >= self.body_at + 5 and received.endswith(END_OF_CHUNKS)  # headers may end in 0, too


class Seen:
    """The results of a slice. Times in seconds."""

    def __init__(self) -> None:
        self.total: list[float] = []
        self.first: list[float] = []
        self.statuses: dict[int, int] = {}
        self.sample = ""
        self.seconds = self.cpu_seconds = 0.0

    def add(self, caller: Caller) -> None:
        self.statuses[caller.status] = self.statuses.get(caller.status, 0) + 1
        if caller.status == 200:
            self.total.append(time.perf_counter() - caller.sent_at)
            self.first.append(caller.first_at - caller.sent_at)
        elif not self.sample:
            self.sample = caller.received[:600].decode("latin-1")


def repeat(plan: dict[str, object]) -> dict[str, object]:
    callers = _callers(plan)
    epoll, by_number = select.epoll(), {c.sock.fileno(): c for c in callers}
    for caller in callers:
        epoll.register(caller.sock, select.EPOLLIN)
        caller.ask()
    measured_from = time.perf_counter() + float(str(plan.get("warm_seconds", 0.3)))
    until = measured_from + float(str(plan["seconds"]))
    seen, cpu_from = Seen(), time.process_time()
    while time.perf_counter() < until:
        for number, _ in epoll.poll(1.0):
            caller = by_number[number]
            try:
                if not caller.take():
                    continue
            except (OSError, ValueError):
                caller.status = -1
                epoll.unregister(number)
            if caller.sent_at >= measured_from:
                seen.add(caller)
            if caller.status != -1:
                caller.ask()
    seen.seconds, seen.cpu_seconds = time.perf_counter() - measured_from, time.process_time() - cpu_from
    epoll.close()
    for caller in callers:
        caller.sock.close()
    return seen.__dict__


def hold(plan: dict[str, object]) -> dict[str, object]:
    """Keep streams open until stdin is closed. Slow readers read `read_bytes` every `read_pause` seconds."""
    sip = int(str(plan.get("read_bytes", 0)))
    callers = _callers(plan, small_window=bool(sip))
    epoll = select.epoll()
    for caller in callers:
        caller.ask()
        if not sip:
            epoll.register(caller.sock, select.EPOLLIN)
    epoll.register(sys.stdin.fileno(), select.EPOLLIN)
    by_number = {c.sock.fileno(): c for c in callers}
    statuses: dict[int, int] = {}
    ended, next_sip, told, began = 0, time.monotonic(), False, time.monotonic()
    while True:
        for number, _ in epoll.poll(0.2):
            if number == sys.stdin.fileno():
                return {"statuses": statuses, "ended": ended}
            ended += _sip(by_number[number], 262_144, statuses, epoll)
        if sip and time.monotonic() >= next_sip:
            next_sip += float(str(plan.get("read_pause", 1.0)))
            for caller in callers:
                ended += _sip(caller, sip, statuses, None)
        answered = sum(statuses.values()) >= len(callers)
        if not told and (answered or time.monotonic() - began > 30):
            told = True
            print(json.dumps({"open": statuses, "seconds": time.monotonic() - began}), flush=True)


def _sip(caller: Caller, size: int, statuses: dict[int, int], epoll: "select.epoll | None") -> int:
    """Returns 1 when the stream ended, else 0."""
    if caller.need < 0:
        return 0
    try:
        data = caller.sock.recv(size, 0 if epoll else socket.MSG_DONTWAIT)
    except BlockingIOError:
        return 0
    except OSError:
        data = b""
    if not caller.status and data:
        caller.status = int(data[9:12])
        statuses[caller.status] = statuses.get(caller.status, 0) + 1
        return 0  # headers may end like chunks
    if data and not data.endswith(END_OF_CHUNKS):
        return 0
    caller.need = -1
    if epoll:
        epoll.unregister(caller.sock)
    return 1


def _callers(plan: dict[str, object], small_window: bool = False) -> list[Caller]:
    requests = plan["requests"]
    assert isinstance(requests, list)
    host, port = str(plan.get("host", "127.0.0.1")), int(str(plan["port"]))
    return [Caller(host, port, str(text).encode(), small_window) for text in requests]


if __name__ == "__main__":
    given = json.loads(sys.stdin.readline())
    print(json.dumps(hold(given) if given.get("hold") else repeat(given)), flush=True)
