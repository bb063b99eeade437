"""Two failures: the gateway is killed during an answer, and SES refuses a mail."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.aws.emulator.deployment import MAIL_DOMAIN, Deployment
from tests.aws.emulator.people import newcomer
from tests.e2e.people import Person, ask, register
from tests.integration.inference.server import Server

GATEWAY = (b"/bootstrap", b"/lambda-adapter", b"gunicorn")  # in the emulator's session; the model server has another
CRAWL_PAUSE_SECONDS, CRAWL_WORK_SECONDS = 0.9, 0.005


@dataclass(frozen=True)
class Killed:
    """A request whose environment was killed during the model's answer, and the response that its caller got."""

    person: Person
    account_id: str
    request_id: str
    answer: requests.Response


def killed_over_an_answer(deployment: Deployment, model: Server) -> Killed:
    person = newcomer(deployment)
    assert ask(person, "What is 3 + 4?").status_code == 200  # the gateway knows its models
    account_id = person.call("GET", "/account").json()["id"]
    with _stopped(model), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, person, "What is 3 + 4?")
        deployment.wait_until(lambda: bool(leases(deployment, account_id)), 120, "an admitted request")
        (request_id,) = leases(deployment, account_id)
        kill_all(gateways(deployment))
        answer = waiting.result()
    return Killed(person, account_id, request_id, answer)


def leases(deployment: Deployment, account_id: str) -> set[str]:
    """The request ids of the leases in the account's grant."""
    (grant,) = deployment.items("GrantsTable", account_id=account_id)
    return {f"req_{key.removeprefix('req_')}" for key in grant["leases"]["M"]}


def kill_all(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # it has ended with one that was killed before
            os.kill(pid, signal.SIGKILL)


def gateways(deployment: Deployment) -> list[int]:
    """All processes of all environments of the gateway, because a surviving worker would settle the request."""
    folders = _processes(deployment, "cmdline", lambda words: any(word.endswith(GATEWAY) for word in words))
    return [int(folder.name) for folder in folders]


def environments(deployment: Deployment, function: str) -> list[int]:
    """The processes of a function (its logical id) that has no adapter: one for each environment."""
    name = f"AWS_LAMBDA_FUNCTION_NAME={deployment.physical[function]}".encode()
    return [int(folder.name) for folder in _processes(deployment, "environ", lambda words: name in words)]


def _processes(deployment: Deployment, file: str, wanted: Callable[[list[bytes]], bool]) -> Iterator[Path]:
    """The folders in /proc of the emulator's session where the words of this file are wanted."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / file).read_bytes().split(b"\0")
            session = int((folder / "stat").read_text().rpartition(")")[2].split()[3])
        except OSError:  # the process has ended
            continue
        if session == deployment.emulator.pid and wanted(words):
            yield folder


@contextmanager
def _stopped(model: Server) -> Iterator[None]:
    """Stops the model server and its worker, so that a request hangs with an open connection."""
    _signal(model, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(model, signal.SIGCONT)


@contextmanager
def crawling(model: Server) -> Iterator[None]:
    """Lets the model server work for a moment each second, so that a short answer takes many seconds."""
    done = threading.Event()

    def crawl() -> None:
        while not done.is_set():
            with _stopped(model):
                done.wait(CRAWL_PAUSE_SECONDS)
            done.wait(CRAWL_WORK_SECONDS)

    thread = threading.Thread(target=crawl)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _signal(model: Server, number: signal.Signals) -> None:
    """To the model server and its worker."""
    children = Path(f"/proc/{model.process.pid}/task/{model.process.pid}/children").read_text()
    for pid in [model.process.pid, *map(int, children.split())]:
        os.kill(pid, number)


def registered_while_ses_refuses(deployment: Deployment) -> str:
    """Registers while SES has the domain as unverified, until one attempt failed. Returns the address."""
    with deployment.client("sesv2") as ses, deployment.client("ses") as older:
        ses.delete_email_identity(EmailIdentity=MAIL_DOMAIN)
        older.delete_identity(Identity=MAIL_DOMAIN)  # each of the emulator's two APIs has its store
        address = register(deployment.base_url)
        deployment.wait_until(lambda: put_back(deployment, address), 180, "a mail that was refused")
        ses.create_email_identity(EmailIdentity=MAIL_DOMAIN)
    assert not deployment.sent_to(address)
    return address


def put_back(deployment: Deployment, address: str) -> bool:
    """Whether the mail to this address waits for another attempt."""
    mails = deployment.items("MailsTable", to=address, state="queued")
    return any(int(mail["attempts"]["N"]) > 0 for mail in mails)
