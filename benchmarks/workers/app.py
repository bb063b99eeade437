"""A Flask app of the gateway's shape: /stream relays the upstream's events line by line, /page is an account page
(`hash=1`: with one argon2id hash, as in a login).

UPSTREAM_PORT says where the upstream is; HASH_IN_POOL=1 hashes in gevent's thread pool.
"""

import http.client
import json
import os
from collections.abc import Iterator

from argon2 import PasswordHasher
from flask import Flask, Response, jsonify, request

app = Flask(__name__)
hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


@app.post("/stream")
def stream() -> Response:
    json.loads(request.get_data())
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["UPSTREAM_PORT"]), timeout=60)
    connection.request("POST", "/v1/chat/completions", b"{}")
    answer = connection.getresponse()

    def relay() -> Iterator[bytes]:
        event = b""
        try:
            while line := answer.readline():
                if line.startswith(b":"):
                    continue  # a usage comment, which is not passed on
                event += line
                if line == b"\n":
                    if event.startswith(b"data: {"):
                        json.loads(event[6:])  # the gateway parses each chunk
                    yield event
                    event = b""
        finally:
            connection.close()

    return Response(relay(), mimetype="text/event-stream")


@app.get("/page")
def page() -> Response:
    if request.args.get("hash"):
        if os.environ.get("HASH_IN_POOL"):
            import gevent

            gevent.get_hub().threadpool.apply(hasher.hash, ("correct horse battery",))
        else:
            hasher.hash("correct horse battery")
    return jsonify(email="ada@example.org")
