"""What goes wrong in life: the gateway dies over an answer; SES takes no mail."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.aws.emulator.deployment import MAIL_DOMAIN, Deployment
from tests.aws.emulator.people import newcomer
from tests.e2e.people import Person, ask, register
from tests.integration.inference.server import Server

GATEWAY = (b"/bootstrap", b"/lambda-adapter", b"gunicorn")  # of the emulator's session: the model's is another


@dataclass(frozen=True)
class Killed:
    """A request whose environment was killed while the model thought, and what its caller got."""

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
        deployment.wait_until(lambda: bool(leases(deployment, account_id)), 30, "an admitted request")
        (request_id,) = leases(deployment, account_id)
        for pid in gateways(deployment):
            os.kill(pid, signal.SIGKILL)
        answer = waiting.result()
    return Killed(person, account_id, request_id, answer)


def leases(deployment: Deployment, account_id: str) -> set[str]:
    """Request ids of what the account's grant says is running."""
    (grant,) = deployment.items("GrantsTable", account_id=account_id)
    return {f"req_{key.removeprefix('req_')}" for key in grant["leases"]["M"]}


def gateways(deployment: Deployment) -> list[int]:
    """Every process of every environment of the gateway: a worker that outlives the rest settles by itself."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            session = int((folder / "stat").read_text().rpartition(")")[2].split()[3])
        except OSError:  # it ended meanwhile
            continue
        if session == deployment.emulator.pid and any(word.endswith(GATEWAY) for word in words):
            found.append(int(folder.name))
    return found


@contextmanager
def _stopped(model: Server) -> Iterator[None]:
    """The model server, with its worker, stands still: a request to it hangs, and its connection stays."""
    children = Path(f"/proc/{model.process.pid}/task/{model.process.pid}/children").read_text()
    pids = [model.process.pid, *map(int, children.split())]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def registered_while_ses_refuses(deployment: Deployment) -> str:
    """→ the address, whose mail was refused once: the domain is not verified. It is again when this returns."""
    with deployment.client("sesv2") as ses, deployment.client("ses") as older:
        ses.delete_email_identity(EmailIdentity=MAIL_DOMAIN)
        older.delete_identity(Identity=MAIL_DOMAIN)  # the emulator has one store an API, and CloudFormation fills both
        address = register(deployment.base_url)
        deployment.wait_until(lambda: put_back(deployment, address), 60, "a mail that was refused")
        ses.create_email_identity(EmailIdentity=MAIL_DOMAIN)
    assert not deployment.sent_to(address)
    return address


def put_back(deployment: Deployment, address: str) -> bool:
    """Whether the mail to this address waits for another attempt."""
    mails = deployment.items("MailsTable", to=address, state="queued")
    return any(int(mail["attempts"]["N"]) > 0 for mail in mails)
