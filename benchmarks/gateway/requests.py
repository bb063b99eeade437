"""The requests of the load, as bytes."""

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

QUESTION = "What does an API gateway do? Answer in two sentences."


@dataclass(frozen=True)
class Kind:
    """A kind of request: `tokens` chunks, `pause_ms` between them, `text_bytes` in each. `more`: fields of its body."""

    name: str
    stream: bool
    tokens: int
    pause_ms: int = 0
    text_bytes: int = 5
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """The target of requests: the model server, the gateway, or another gateway (with one key for all)."""

    name: str
    host: str
    port: int
    keys: Sequence[str]
    model: str = "demo"
    path_prefix: str = ""


def raw(target: Target, kind: Kind, key: str) -> str:
    body = {
        "model": target.model,
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": kind.tokens,
        "stream": kind.stream,
        "seed": kind.pause_ms,
        "top_k": kind.text_bytes,
    }
    if kind.stream:
        body["stream_options"] = {"include_usage": True}
    text = json.dumps({**body, **kind.more})
    return (
        f"POST {target.path_prefix}/v1/chat/completions HTTP/1.1\r\nHost: {target.host}:{target.port}\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
        f"User-Agent: benchmark\r\nContent-Length: {len(text)}\r\n\r\n{text}"
    )


def plan(target: Target, kind: Kind, callers: int, an_account: int, **more: object) -> dict[str, object]:
    """`an_account`: the number of callers per account."""
    texts = [raw(target, kind, target.keys[n // an_account % len(target.keys)]) for n in range(callers)]
    return {"host": target.host, "port": target.port, "requests": texts, **more}


def send(target: Target, kind: Kind, timeout_seconds: float = 60.0) -> int:
    """Send one request with the first key on a connection of its own. → the answer's status. Errors: OSError."""
    with socket.create_connection((target.host, target.port), timeout_seconds) as connection:
        connection.sendall(raw(target, kind, target.keys[0]).encode())
        status = connection.recv(65_536)[9:12]
        return int(status or 0)
