"""A whole account life in a browser without JavaScript: by forms, and by links in real mails."""

import json
import os
import re
import subprocess
import sys
from html import unescape
from typing import Any

import pytest
import requests

from tests.e2e.people import PASSWORD, TIMEOUT_SECONDS, Person, mails_to, new_address, session_cookie
from tests.e2e.system import System

pytestmark = pytest.mark.one_machine("addresses of forms have no stage", proxied=True)

NEW_PASSWORD = "a loud orange lighthouse"


class Visitor:
    """A browser that keeps cookies and sends a form's hidden fields."""

    def __init__(self, base_url: str, person: Person | None = None) -> None:
        self.base_url, self._cookies = base_url, requests.Session()
        if person is not None:
            self._cookies.cookies.set(session_cookie(base_url), person.session_token)

    def get(self, url: str) -> str:
        answer = self._cookies.get(url, headers={"Accept": "text/html"}, timeout=TIMEOUT_SECONDS)
        assert answer.status_code == 200, answer.text
        return answer.text

    def submit(self, html: str, action: str, **fields: Any) -> str:
        form = re.search(rf'<form[^>]* action="{re.escape(action)}".*?</form>', html, re.DOTALL)
        assert form, html
        hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form[0])
        data = {name: unescape(value) for name, value in hidden} | fields
        answer = self._cookies.post(
            self.base_url + action, data, headers={"Origin": self.base_url}, timeout=TIMEOUT_SECONDS
        )
        assert answer.ok, answer.text
        return answer.text

    def close(self) -> None:
        self._cookies.close()


def link_in(mail: dict[str, Any]) -> str:
    return re.search(r"http\S+\?token=\S+", mail["text"])[0]  # type: ignore[index]


def sample_in(html: str, name: str) -> str:
    match = re.search(rf'aria-label="Sample: {name}"[^>]*><code>(.*?)</code>', html, re.DOTALL)
    assert match, html
    return unescape(match[1])


def run(*command: str) -> str:
    """Runs the sample as a person who pasted it would, who has set no variable."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "SLUICE_"))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_signing_up_verifying_minting_calling_and_a_forgotten_password(system: System) -> None:
    address, visitor = new_address(), Visitor(system.base_url)
    page = visitor.submit(visitor.get(system.base_url + "/sign-up"), "/sign-up", email=address, password=PASSWORD)
    assert "Check your email" in page
    page = visitor.get(link_in(mails_to(system.base_url, address, "verify_email")[0]))
    assert "Your address is verified" in visitor.submit(page, "/verify-email")
    page = visitor.submit(visitor.get(system.base_url + "/login"), "/login", email=address, password=PASSWORD)
    page = visitor.get(system.base_url + "/my/tokens/new")
    page = visitor.submit(page, "/my/tokens", name="laptop", expires_in="1d", scopes=["inference"], models="")
    assert "Paris" in run(sys.executable, "-c", sample_in(page, "Python"))
    assert "Paris" in run("sh", "-c", sample_in(page, "Shell"))
    streamed = run(sys.executable, "-c", sample_in(page, "Streaming"))
    assert re.search(r"Paris\.\n\d+ in, \d+ out\n$", streamed), streamed
    assert run(sys.executable, "-c", sample_in(page, "Tools")).strip()
    provider = json.loads(sample_in(page, "Coding agents"))["provider"]["sluice"]
    assert provider["options"]["baseURL"] == system.base_url + "/v1" and provider["models"] == {"demo": {}}
    assert "capital of France" in unescape(visitor.get(system.base_url + "/my/usage/log"))
    page = visitor.get(system.base_url + "/forgot-password")
    visitor.submit(page, "/forgot-password", email=address)
    page = visitor.get(link_in(mails_to(system.base_url, address, "reset_password")[0]))
    assert "Your password is changed" in visitor.submit(page, "/reset-password", password=NEW_PASSWORD)
    page = visitor.get(system.base_url + "/login")
    visitor.submit(page, "/login", email=address, password=NEW_PASSWORD)
    assert "laptop" in visitor.get(system.base_url + "/my/tokens")
    visitor.close()
