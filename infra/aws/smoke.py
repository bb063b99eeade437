"""Tests a deployment from the outside: the public endpoints, and with a login also chat completions with an API token.

It leaves one revoked API token and two requests in the log of the account.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from infra.demo.client import Client, DemoError

READY_SECONDS = 180.0  # the first answer loads the model
LEDGER_SECONDS = 20.0
QUESTION = "What is the capital of France?"
Say = Callable[[str], None]


class SmokeFailed(Exception):
    """A check failed."""


@dataclass
class Smoke:
    client: Client
    say: Say
    ready_seconds: float = READY_SECONDS
    sleep: Callable[[float], None] = time.sleep

    def run(self, email: str = "", password: str = "") -> None:
        """Raises SmokeFailed."""
        try:
            self._public()
            if email and password:
                self._with_login(email, password)
        except DemoError as exc:
            raise SmokeFailed(str(exc)) from exc

    def _public(self) -> None:
        self.say(f"/healthz: ok, the model is {self._health()}")
        keys = self.client.need(200, "GET", "/.well-known/jwks.json").body["keys"]
        if not keys or any("d" in key for key in keys):
            raise SmokeFailed("/.well-known/jwks.json has no key, or a private one")
        self.say(f"/.well-known/jwks.json: {len(keys)} public key(s)")
        paths = self.client.need(200, "GET", "/openapi.json").body["paths"]
        self.say(f"/openapi.json: {len(paths)} paths")
        refused = self.client.need(401, "GET", "/v1/models").body["error"]
        self.say(f"/v1/models without an API token: 401 {refused['code']}")
        unknown = {"email": f"nobody-{secrets.token_hex(4)}@example.com", "password": "not a password"}
        self.client.need(401, "POST", "/auth/login", unknown)
        self.say("/auth/login of nobody: 401")

    def _health(self) -> str:
        until = time.monotonic() + self.ready_seconds
        while True:
            answer = self.client.call("GET", "/healthz")
            if answer.status == 200:
                return str(answer.body["model"])
            if answer.status not in (429, 503, 504) or time.monotonic() > until:
                raise SmokeFailed(f"/healthz answered {answer.status}: {answer.body}")
            self.sleep(2)

    def _with_login(self, email: str, password: str) -> None:
        login = self.client.call("POST", "/auth/login", {"email": email, "password": password})
        if login.status != 200:
            raise SmokeFailed(f"login as {email} answered {login.status}: {login.body.get('detail')}")
        session = login.body["session"]["token"]
        issued = self.client.need(201, "POST", "/tokens", {"name": "smoke", "expires_in": "1h"}, session).body
        token = issued["token"]
        try:
            model = self.client.need(200, "GET", "/v1/models", bearer=token).body["data"][0]["id"]
            self._answer(token, model)
            self._stream(token, model)
            self._ledger(session, issued["id"])
        finally:
            self.client.need(200, "POST", f"/tokens/{issued['id']}/revoke", bearer=session)
        refused = self.client.need(401, "GET", "/v1/models", bearer=token).body["error"]
        self.say(f"the API token after it was revoked: 401 {refused['code']}")
        self.client.need(204, "POST", "/auth/logout", bearer=session)

    def _answer(self, token: str, model: str) -> None:
        completion = self.client.need(200, "POST", "/v1/chat/completions", _question(model), token).body
        usage = completion["usage"]
        if not completion["choices"][0]["message"]["content"] or usage["completion_tokens"] < 1:
            raise SmokeFailed(f"the model's answer is empty: {completion}")
        self.say(f"an answer of {model}: {usage['prompt_tokens']} + {usage['completion_tokens']} tokens")

    def _stream(self, token: str, model: str) -> None:
        began, first, pieces = time.monotonic(), 0.0, 0
        for chunk in self.client.stream("/v1/chat/completions", {**_question(model), "stream": True}, token):
            if chunk["choices"] and chunk["choices"][0]["delta"].get("content"):
                first, pieces = first or time.monotonic() - began, pieces + 1
        if not pieces:
            raise SmokeFailed("the stream ended without text")
        whole = time.monotonic() - began
        self.say(
            f"a stream of {pieces} pieces, the first after {first * 1000:.0f} ms, the last after {whole * 1000:.0f}"
        )

    def _ledger(self, session: str, token_id: str) -> None:
        until = time.monotonic() + LEDGER_SECONDS
        while True:
            path = f"/usage/logs?limit=10&token_id={token_id}"
            rows: list[Any] = self.client.need(200, "GET", path, bearer=session).body["data"]
            if len(rows) == 2:
                self.say("the log has both requests")
                return
            if time.monotonic() > until:
                raise SmokeFailed(f"two requests were answered, but the log has {len(rows)}")
            self.sleep(0.5)


def _question(model: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 32, "temperature": 0}
