"""A model server without a model: sends prepared answers in the format of `functions/inference`.

One thread with epoll, so that it uses little CPU compared with the gateway. Fields of the request that gateways pass on
control it: `max_tokens` chunks, `seed` ms between them (0: at once), `top_k` bytes of text in each. Each chunk is
written separately, as by a real engine. Run as `python canned_upstream.py PORT`.
"""

import heapq
import re
import select
import socket
import sys
import time

END_OF_HEAD = b"\r\n\r\n"
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
NUMBER = {name: re.compile(rb'"' + name + rb'": ?(\d+)') for name in (b"max_tokens", b"seed", b"top_k")}
STREAM = re.compile(rb'"stream": ?true')
PROMPT_TOKENS = 12
MODEL = (
    b'{"object":"list","data":[{"id":"demo","object":"model","created":1,"owned_by":"sluice",'
    b'"context_window":8192,"capabilities":["chat","completions"]}]}'
)
SSE_HEAD = (
    b"HTTP/1.1 200 OK\r\nServer: canned\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
CHUNK = (
    b'data: {"id":"chatcmpl-canned","object":"chat.completion.chunk","created":1,"model":"demo",'
    b'"system_fingerprint":"canned","choices":[{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}]}\n\n'
)
USAGE = (
    b'data: {"id":"chatcmpl-canned","object":"chat.completion.chunk","created":1,"model":"demo","choices":[],'
    b'"usage":{"prompt_tokens":12,"completion_tokens":%d,"total_tokens":%d}}\n\ndata: [DONE]\n\n'
)
WHOLE = (
    b'{"id":"chatcmpl-canned","object":"chat.completion","created":1,"model":"demo","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"%s"},"logprobs":null,"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":12,"completion_tokens":%d,"total_tokens":%d}}'
)


def framed(payload: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(payload), payload)


class Peer:
    """One connection, with its received bytes and its pending writes."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = b""
        self.unsent = b""
        self.closed = False

    def write(self, data: bytes) -> bool:
        """Returns whether everything was sent; keeps the rest."""
        if not self.unsent:
            try:
                sent = self.sock.send(data)
            except BlockingIOError:
                sent = 0
            data = data[sent:]
        self.unsent += data
        return not self.unsent


class Server:
    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._peers: dict[int, Peer] = {}
        self._due: list[tuple[float, int, Peer, list[bytes], float]] = []
        self._count = 0
        self._blocks: dict[tuple[int, int], list[bytes]] = {}

    def run(self) -> None:
        while True:
            wait = max(0.0, self._due[0][0] - time.monotonic()) if self._due else -1
            for number, event in self._epoll.poll(wait):
                if number == self._listener.fileno():
                    self._accept()
                    continue
                peer = self._peers[number]
                try:
                    self._serve(peer, event)
                except OSError:
                    self._drop(peer)
            self._send_due()

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peers[sock.fileno()] = Peer(sock)
        self._epoll.register(sock, select.EPOLLIN)

    def _drop(self, peer: Peer) -> None:
        if not peer.closed:
            peer.closed = True
            del self._peers[peer.sock.fileno()]
            self._epoll.unregister(peer.sock)
            peer.sock.close()

    def _serve(self, peer: Peer, event: int) -> None:
        if event & select.EPOLLOUT and peer.unsent:
            pending, peer.unsent = peer.unsent, b""
            if peer.write(pending):
                self._epoll.modify(peer.sock, select.EPOLLIN)
        if event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            data = peer.sock.recv(65_536)
            if not data:
                return self._drop(peer)
            peer.received += data
            while self._answer_next(peer):
                pass

    def _answer_next(self, peer: Peer) -> bool:
        end = peer.received.find(END_OF_HEAD)
        if end < 0:
            return False
        head = peer.received[:end]
        length = LENGTH.search(head)
        whole = end + 4 + (int(length[1]) if length else 0)
        if len(peer.received) < whole:
            return False
        body, peer.received = peer.received[end + 4 : whole], peer.received[whole:]
        if head.startswith(b"GET"):
            self._json(peer, MODEL if b"/v1/models" in head.split(b"\r\n", 1)[0] else b'{"status":"ready"}')
            return True
        wanted = {name: int(found[1]) if (found := NUMBER[name].search(body)) else 0 for name in NUMBER}
        tokens, text_bytes = wanted[b"max_tokens"] or 1, wanted[b"top_k"] or 5
        if STREAM.search(body):
            self._stream(peer, self._chunks(tokens, text_bytes), wanted[b"seed"] / 1000)
        else:
            self._json(peer, WHOLE % (b"word " * tokens, tokens, tokens + PROMPT_TOKENS))
        return True

    def _json(self, peer: Peer, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nServer: canned\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._send(peer, head % len(body) + body)

    def _chunks(self, tokens: int, text_bytes: int) -> list[bytes]:
        """The writes of a stream: role, tokens, finish with usage, end."""
        key = (tokens, text_bytes)
        if key not in self._blocks:
            text = b'{"content":"%s"}' % (b"w" * (text_bytes - 1) + b" ")
            first = CHUNK % (b'{"role":"assistant","content":""}', b"null")
            last = CHUNK % (b"{}", b'"stop"') + USAGE % (tokens, tokens + PROMPT_TOKENS)
            counted = b": usage %d %%d 0\n" % PROMPT_TOKENS
            middle = CHUNK % (text, b"null")
            self._blocks[key] = [
                SSE_HEAD + framed(counted % 0 + first),
                *(framed(counted % (n + 1) + middle) for n in range(tokens)),
                framed(counted % tokens + last) + b"0\r\n\r\n",
            ]
        return self._blocks[key]

    def _stream(self, peer: Peer, blocks: list[bytes], pause_seconds: float) -> None:
        if not pause_seconds:
            for block in blocks:
                self._send(peer, block)
            return
        self._send(peer, blocks[0])
        self._plan(time.monotonic() + pause_seconds, peer, blocks[1:], pause_seconds)

    def _plan(self, due: float, peer: Peer, blocks: list[bytes], pause_seconds: float) -> None:
        self._count += 1
        heapq.heappush(self._due, (due, self._count, peer, blocks, pause_seconds))

    def _send_due(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            due, _, peer, blocks, pause_seconds = heapq.heappop(self._due)
            if peer.closed:
                continue
            try:
                self._send(peer, blocks[0])
            except OSError:
                self._drop(peer)
                continue
            if len(blocks) > 1:
                self._plan(due + pause_seconds, peer, blocks[1:], pause_seconds)

    def _send(self, peer: Peer, data: bytes) -> None:
        had = bool(peer.unsent)
        if not peer.write(data) and not had:
            self._epoll.modify(peer.sock, select.EPOLLIN | select.EPOLLOUT)


if __name__ == "__main__":
    Server(int(sys.argv[1])).run()
