"""stripe-mock as a process on a port of loopback."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.peers.servers import START_SECONDS, process
from tests.ports import free_port
from tests.waiting import eventually

KEY = "sk_test_ofthetests1"  # letters and digits, as it wants them
PRICE = "price_1PgafmB7WZ01zgkW6dKueIc5"  # of the one subscription that each of its customers has


@dataclass(frozen=True)
class Running:
    url: str
    log: Path

    @property
    def calls(self) -> list[str]:
        """`METHOD /path`, in order; an id is shown as `ID`."""
        found = re.findall(r"^Request: (\w+ \S+)$", self.log.read_text(), re.MULTILINE)
        return [re.sub(r"(?<=/)(cus|cs)_\w+", "ID", one.partition("?")[0]) for one in found]


@contextmanager
def stripe_mock_at(program: Path) -> Iterator[Running]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        running = Running(f"http://127.0.0.1:{port}", Path(folder) / "log")
        with process([program, "-http-addr", f"127.0.0.1:{port}", "-verbose"], running.log):
            try:
                eventually(lambda: _answers(running.url), START_SECONDS)
            except AssertionError as exc:
                raise AssertionError(f"stripe-mock does not answer: {running.log.read_text()[-500:]}") from exc
            yield running


def _answers(url: str) -> bool:
    try:
        return requests.get(url + "/v1/prices", headers={"Authorization": f"Bearer {KEY}"}, timeout=5).ok
    except (requests.ConnectionError, requests.Timeout):
        return False
