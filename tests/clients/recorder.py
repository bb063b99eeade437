"""`SLUICE_RECORD=1 make test-clients`: writes what each agent sends into tests/data/agents, shortened.

`make test` replays these bodies (tests/integration/gateway/test_agents.py).
"""

import http.client
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.clients.catalogue import ROOT
from tests.servers import Handler, Server

FOLDER = ROOT / "tests" / "data" / "agents"
KEPT_HEADERS = ("accept", "anthropic-beta", "anthropic-version", "content-type", "originator", "user-agent")
MAX_CHARACTERS = 80
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@contextmanager
def recorded(name: str, base_url: str, folder: Path) -> Iterator[str]:
    """The address for the agent. Paths below `folder`, ids, and the most of long texts are left out of the record."""
    if not os.environ.get("SLUICE_RECORD"):
        yield base_url
        return
    requests: list[dict[str, Any]] = []
    with Server(_handler(base_url.removeprefix("http://"), requests)) as server:
        yield server.url
    FOLDER.mkdir(exist_ok=True)
    sizes = {len(json.dumps(one)): one for one in requests}  # the smallest, and the last, which has the whole history
    lines = [_line(sizes[size], folder) for size in (min(sizes), max(sizes))]
    (FOLDER / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


def _line(request: dict[str, Any], folder: Path) -> str:
    text = UUID.sub("0", json.dumps(request).replace(str(folder), "/home/ann"))
    return json.dumps(_shortened(json.loads(text)), ensure_ascii=False)


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):  # a call's arguments are JSON, which has to stay whole
        return {key: one if key == "arguments" else _shortened(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_shortened(one) for one in value]
    return value[:MAX_CHARACTERS] if isinstance(value, str) else value


def _handler(host: str, requests: list[dict[str, Any]]) -> type[Handler]:
    class Requests(Handler):
        def do_POST(self) -> None:
            body = self.body()
            headers = {name.lower(): value for name, value in self.headers.items()}
            kept = {name: headers[name] for name in KEPT_HEADERS if name in headers}
            kept["user-agent"] = kept["user-agent"].partition(" (")[0]  # without the machine's system
            requests.append({"path": self.path, "headers": kept, "body": json.loads(body)})
            connection = http.client.HTTPConnection(host, timeout=60)
            connection.request("POST", self.path, body, {**headers, "host": host})
            with connection.getresponse() as answer:
                content = answer.read()
                self.answer(answer.status, content, content_type=answer.headers["content-type"])
            connection.close()

    return Requests
