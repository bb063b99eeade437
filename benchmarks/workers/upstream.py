"""The synthetic model server: streams CHUNKS chunks, one every CHUNK_MS, to any number of clients, with gevent.

python upstream.py PORT CHUNKS CHUNK_MS
"""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402

import gevent  # noqa: E402
from gevent.pywsgi import WSGIServer  # noqa: E402

CHUNK = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk",'
    b'"choices":[{"index":0,"delta":{"content":" word"}}]}\n\n'
)


def application(environ, start_response):  # type: ignore[no-untyped-def]
    chunks, pause_s = int(sys.argv[2]), int(sys.argv[3]) / 1000
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    for _ in range(chunks):
        yield b": usage 20 1 0\n" + CHUNK
        gevent.sleep(pause_s)
    yield b"data: [DONE]\n\n"


if __name__ == "__main__":
    WSGIServer(("127.0.0.1", int(sys.argv[1])), application, backlog=2048, log=None).serve_forever()
