"""A proxy that terminates TLS in front of a system, like an operator's, with its own certificate."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from tests.tls import HOST, make_certificate

PIECE_BYTES = 1 << 16


@contextmanager
def https_in_front(listening: socket.socket, target_port: int, folder: Path) -> Iterator[None]:
    """Inside the block, TLS connections to `listening` are passed on to the port without TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(make_certificate(folder))

    def accept() -> None:
        with suppress(OSError):  # closed, because the test is over
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=_serve, args=(context, connection, target_port), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield
    finally:
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def _serve(context: ssl.SSLContext, connection: socket.socket, port: int) -> None:
    with (
        suppress(OSError),
        closing(context.wrap_socket(connection, server_side=True)) as outside,
        closing(socket.create_connection((HOST, port))) as inside,
    ):
        back = threading.Thread(target=_pump, args=(inside, outside), daemon=True)
        back.start()
        _pump(outside, inside)
        back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(PIECE_BYTES):
            target.sendall(piece)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
