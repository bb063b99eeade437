"""Clients that never finish a request: half of them send a head, half a body, a byte every few seconds each."""

import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: "
BODY = b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"
EVERY_SECONDS = 4.0
TURNS = 40  # within EVERY_SECONDS


class Senders:
    """`count` slow clients. One that the server disconnects comes again at once; `ended` counts them."""

    def __init__(self, port: int, count: int) -> None:
        self.port, self.ended = port, 0
        self.clients = [self._open(number) for number in range(count)]

    def _open(self, number: int) -> socket.socket:
        client = socket.socket()
        client.settimeout(10)
        with suppress(OSError):  # the server may be too busy to accept; the next turn tries again
            client.connect(("127.0.0.1", self.port))
            client.sendall(HEAD if number % 2 else BODY)
        client.setblocking(False)
        return client

    def _drip(self, number: int) -> None:
        client = self.clients[number]
        try:
            client.send(b"a")
            poll = select.poll()
            poll.register(client, select.POLLIN)
            over = bool(poll.poll(0))  # an answer or the end
        except OSError:
            over = True
        if over:
            self.ended += 1
            client.close()
            self.clients[number] = self._open(number)

    def run(self, stop: threading.Event) -> None:
        turn = 0
        while not stop.wait(EVERY_SECONDS / TURNS):
            for number in range(turn, len(self.clients), TURNS):
                self._drip(number)
            turn = (turn + 1) % TURNS

    def close(self) -> None:
        for client in self.clients:
            client.close()


@contextmanager
def slow_senders(port: int, count: int, settle_seconds: float = 2.0) -> Iterator[Senders]:
    """`count` of them are open inside the context."""
    senders, stop = Senders(port, count), threading.Event()
    thread = threading.Thread(target=senders.run, args=(stop,))
    thread.start()
    try:
        time.sleep(settle_seconds)
        yield senders
    finally:
        stop.set()
        thread.join()
        senders.close()
