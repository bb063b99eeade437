"""The running system that is fuzzed: sends a case, knows ids that exist, and measures the processes."""

import hmac
import re
import socket
import time
from base64 import urlsafe_b64encode
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from infra.local.processes import start_time
from sluice.pages.forms import CONTEXT
from tests.e2e import people
from tests.e2e.admins import make_admin
from tests.e2e.system import System
from tests.fuzz.cases import Case

ANSWER_SECONDS = 60  # of a whole request
RAW_SECONDS = 0.15  # for what may be half a request
FORM_COOKIE = "f" * 43
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")  # anywhere: pipelined answers follow bodies that end without a newline


@dataclass(frozen=True)
class Reply:
    statuses: list[int]  # of the answers on this connection, without interim ones
    body: bytes  # all that came
    cpu_s: float  # of the app and the engine together, for each answer

    @property
    def request_id(self) -> str:
        found = re.search(rb"(?im)^x-sluice-request-id: ([\w.-]+)", self.body[:4000])
        return found[1].decode() if found else ""


class World:
    def __init__(self, system: System) -> None:
        self.system, self.known = system, dict[str, str]()
        self.admin = make_admin(system)
        self.renew()

    # --- what exists

    def renew(self) -> None:
        """A new person who has one of each object, because a case may have deleted any."""
        if self.admin.call("GET", "/account").status_code != 200:
            self.admin = make_admin(self.system)
        person = self.person = people.newcomer(self.system.base_url)
        named = {"file": ("a.md", b"# Ferries\nThe ferry leaves at nine.")}
        file_id = person.v1("POST", "/v1/files", files=named, data={"purpose": "assistants"}).json()["id"]
        store = person.v1("POST", "/v1/vector_stores", json={"name": "s", "file_ids": [file_id]}).json()["id"]
        batch = person.v1("POST", f"/v1/vector_stores/{store}/file_batches", json={"file_ids": [file_id]}).json()["id"]
        reply = person.v1("POST", "/v1/responses", json={"model": "demo", "input": "Hi", "max_output_tokens": 1}).json()
        facts = person.call("GET", "/account").json()
        self.known = {
            "host": self.system.base_url.removeprefix("http://"),
            "session": person.session_token,
            "token": person.api_token,
            "admin": self.admin.session_token,
            "form": FORM_COOKIE,
            "form_token": _form_token(FORM_COOKIE),
            "session_form_token": _form_token(person.session_token),
            "admin_form_token": _form_token(self.admin.session_token),
            "password": person.password,
            "email": person.email,
            "chat_id": person.call("POST", "/chats", json={"title": "c"}).json()["id"],
            "file_id": file_id,
            "vector_store_id": store,
            "batch_id": batch,
            "response_id": reply["id"],
            "token_id": person.token_id,
            "session_id": person.call("GET", "/account/sessions").json()["data"][0]["id"],
            "user_id": facts["id"],
        }

    def usable(self) -> bool:
        calls = (self.person.call("GET", "/account"), self.person.v1("GET", "/v1/models"))
        return all(answer.status_code == 200 for answer in calls)

    # --- one case

    def send(self, case: Case) -> Reply:
        data = case.filled(self.known | {"deadline": str(int(time.time() * 1000) + 20_000)})
        begun = self.cpu_s()
        body = self._exchanged(case, data)
        statuses = [int(status) for status in STATUS.findall(body) if status[:1] != b"1"]
        statuses = statuses if case.raw else statuses[:1]
        return Reply(statuses, body, (self.cpu_s() - begun) / max(1, len(statuses)))

    def _exchanged(self, case: Case, data: bytes) -> bytes:
        until = time.monotonic() + ANSWER_SECONDS
        received = bytearray()
        with suppress(OSError), self._connected(case.target) as connection:
            connection.settimeout(RAW_SECONDS if case.raw else ANSWER_SECONDS)
            with suppress(OSError):  # refused before all was sent: the answer may be there nevertheless
                connection.sendall(data)
            with suppress(TimeoutError):
                while time.monotonic() < until and (piece := connection.recv(65536)):
                    received += piece
        return bytes(received)

    def _connected(self, target: str) -> socket.socket:
        if target == "app":
            return socket.create_connection(("127.0.0.1", self.system.port), ANSWER_SECONDS)
        made = socket.socket(socket.AF_UNIX)
        made.connect(str(self.system.data_dir / "run" / "inference.sock"))
        return made

    # --- the processes

    def _trees(self) -> dict[str, list[int]]:
        """The processes of each name; children of ingestion come and go with each file."""
        trees = {}
        for name, pid in self.system.pids().items():
            with suppress(OSError):
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                trees[name] = [pid, *(map(int, children) if name != "ingestion" else ())]
        return trees

    def cpu_s(self) -> float:
        trees = self._trees()
        return sum(time.clock_gettime((~pid << 3) | 2) for name in ("app", "inference") for pid in trees.get(name, ()))

    def processes(self) -> dict[str, object]:
        return {name: [(pid, start_time(pid)) for pid in pids] for name, pids in self._trees().items()}

    def memory(self) -> dict[str, int]:
        """Bytes that only each process has."""
        return {name: sum(map(_private, pids)) for name, pids in self._trees().items()}


def _private(pid: int) -> int:
    found = re.search(r"Anonymous:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text())
    return int(found[1]) * 1024 if found else 0


def _form_token(secret: str) -> str:
    return urlsafe_b64encode(hmac.digest(secret.encode(), CONTEXT, "sha256")).rstrip(b"=").decode()
