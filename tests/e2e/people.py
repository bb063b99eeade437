"""How a new person starts, by HTTP alone: register, read the mail, verify, log in, issue an API token."""

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import openai
import requests

TIMEOUT_SECONDS = 60
MAIL_SECONDS = 60  # an emulator starts the mailer for the first mail
PASSWORD = "a quiet green harbour"


Mails = list[dict[str, Any]]
MAILBOXES: dict[str, Callable[[str], Mails]] = {}
"""Base URL → the mails to an address, newest first. A system that is not here shows its own outbox."""
_opened: list[openai.OpenAI] = []


def sdk(base_url: str, api_token: str) -> openai.OpenAI:
    """The official client without retries. It is kept until `close_sdks`, because an unclosed client is a warning."""
    _opened.append(openai.OpenAI(base_url=base_url + "/v1", api_key=api_token, max_retries=0, timeout=TIMEOUT_SECONDS))
    return _opened[-1]


def close_sdks() -> None:
    while _opened:
        _opened.pop().close()


@dataclass
class Person:
    base_url: str
    email: str
    password: str
    session_token: str
    api_token: str = ""
    token_id: str = ""

    def call(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """Calls with the session token."""
        headers = {"Authorization": f"Bearer {self.session_token}", **arguments.pop("headers", {})}
        return requests.request(method, self.base_url + path, headers=headers, timeout=TIMEOUT_SECONDS, **arguments)

    def v1(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """Calls with the API token."""
        headers = {"Authorization": f"Bearer {self.api_token}", **arguments.pop("headers", {})}
        return requests.request(method, self.base_url + path, headers=headers, timeout=TIMEOUT_SECONDS, **arguments)

    @property
    def openai(self) -> openai.OpenAI:
        return sdk(self.base_url, self.api_token)

    def mint(self, **fields: Any) -> dict[str, Any]:
        answer = self.call("POST", "/tokens", json={"name": "test", **fields})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())


def session_cookie(base_url: str) -> str:
    """The name of the cookie that holds a browser's session (ADR 64)."""
    return "__Host-sluice_session" if base_url.startswith("https:") else "sluice_session"


def new_address() -> str:
    return f"user-{secrets.token_hex(6)}@example.com"


def mails_to(base_url: str, address: str, kind: str | None = None, count: int = 1) -> list[dict[str, Any]]:
    """Waits for at least `count` mails; newest first."""
    give_up = time.monotonic() + MAIL_SECONDS
    read = MAILBOXES.get(base_url, partial(outbox, base_url))
    while True:
        mails = [mail for mail in read(address) if kind is None or mail["kind"] == kind]
        if len(mails) >= count:
            return mails
        assert time.monotonic() < give_up, f"no mail of kind {kind} to {address}; there are: {mails}"
        time.sleep(0.05)


def outbox(base_url: str, address: str) -> Mails:
    """Of a system of this machine, which `base_url` reaches without a proxy; newest first."""
    answer = requests.get(base_url + "/_local/outbox", params={"to": address}, timeout=TIMEOUT_SECONDS)
    return list(answer.json()["data"])


def code_in(mail: dict[str, Any]) -> str:
    match = re.search(r"[?&]token=([^\s\"'<>]+)", mail["text"])
    assert match, mail["text"]
    return match[1]


def post(base_url: str, path: str, body: Any, **arguments: Any) -> requests.Response:
    return requests.post(base_url + path, json=body, timeout=TIMEOUT_SECONDS, **arguments)


def register(base_url: str, email: str | None = None, password: str = PASSWORD) -> str:
    address = email or new_address()
    answer = post(base_url, "/auth/register", {"email": address, "password": password})
    assert (answer.status_code, answer.json()) == (202, {"status": "verification_sent"}), answer.text
    return address


def verify(base_url: str, address: str) -> None:
    code = code_in(mails_to(base_url, address, "verify_email")[0])
    answer = post(base_url, "/auth/verify-email", {"token": code})
    assert (answer.status_code, answer.json()) == (200, {"status": "verified"}), answer.text


def log_in(base_url: str, address: str, password: str = PASSWORD) -> Person:
    answer = post(base_url, "/auth/login", {"email": address, "password": password})
    assert answer.status_code == 200, answer.text
    return Person(base_url, address, password, answer.json()["session"]["token"])


def newcomer(base_url: str) -> Person:
    """A new person with a verified address, a session, and an API token."""
    address = register(base_url)
    verify(base_url, address)
    person = log_in(base_url, address)
    minted = person.mint()
    person.api_token, person.token_id = minted["token"], minted["id"]
    return person


def ask(person: Person, text: str, **fields: Any) -> requests.Response:
    body = {"model": "demo", "messages": [{"role": "user", "content": text}], **fields}
    return person.v1("POST", "/v1/chat/completions", json=body)
