"""The steps of the demo: register, verify, log in, make an API token, ask the model, read the log, revoke."""

import json
import re
import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from infra.demo.client import Client, DemoError

MAIL_SECONDS = 20.0
LEDGER_SECONDS = 10.0
PASSWORD = "correct horse battery staple"
Say = Callable[[str], None]


class Walk:
    """The way of one new user. `say` prints lines, `write` prints parts of a line (the streamed text)."""

    def __init__(self, client: Client, say: Say, write: Say) -> None:
        self._client, self._say, self._write = client, say, write
        self._email = f"ada-{secrets.token_hex(4)}@example.org"
        self._step = 0

    def run(self) -> None:
        """Raises DemoError at the first unexpected answer."""
        self._health()
        self._register()
        self._verify()
        session = self._log_in()
        issued = self._issue(session)
        model = self._model(issued["token"])
        self._ask(issued["token"], model)
        self._ask_streamed(issued["token"], model)
        self._usage(session)
        self._revoke(session, issued)
        self._next(model)

    def _title(self, text: str, call: str) -> None:
        self._step += 1
        self._say(f"\n{self._step}. {text}\n   {call}")

    def _health(self) -> None:
        self._title("Is the system up?", "GET /healthz")
        answer = self._client.need(200, "GET", "/healthz").body
        self._say(f"   → 200, the model is {answer['model']}")

    def _register(self) -> None:
        self._title(f"A new user signs up as {self._email}.", "POST /auth/register {email, password}")
        body = {"email": self._email, "password": PASSWORD, "name": "Ada"}
        answer = self._client.need(202, "POST", "/auth/register", body).body
        self._say(f"   → 202 {json.dumps(answer)}: one transaction created the account (pending) and its mail")

    def _verify(self) -> None:
        self._title(
            "The store's stream triggers the mail, which a local run writes to the outbox.", "GET /_local/outbox"
        )
        mail = self._mail()
        link = re.search(r"\S+/verify-email\?token=(\S+)", mail["text"])
        if link is None:
            raise DemoError(f"the mail contains no link:\n{mail['text']}")
        self._say(f"   → {mail['subject']!r} with a link to {link[0].split('?')[0]}")
        self._title(
            "The page behind the link redeems the code, once, when she presses its button.",
            "POST /auth/verify-email {token}",
        )
        answer = self._client.need(200, "POST", "/auth/verify-email", {"token": link[1]}).body
        again = self._client.need(400, "POST", "/auth/verify-email", {"token": link[1]}).body
        self._say(f"   → 200 {json.dumps(answer)}; a second time: 400 {again['code']}")

    def _mail(self) -> dict[str, Any]:
        until = time.monotonic() + MAIL_SECONDS
        while True:
            mails = self._client.need(200, "GET", f"/_local/outbox?to={quote(self._email)}").body["data"]
            if mails:
                found: dict[str, Any] = mails[0]
                return found
            if time.monotonic() > until:
                raise DemoError(f"no mail arrived within {MAIL_SECONDS:.0f} s; see the relay's log")
            time.sleep(0.1)

    def _log_in(self) -> str:
        self._title("Ada logs in.", "POST /auth/login {email, password}")
        body = {"email": self._email, "password": PASSWORD}
        answer = self._client.need(200, "POST", "/auth/login", body).body
        self._say(f"   → 200, a session until {answer['session']['expires_at']}")
        return str(answer["session"]["token"])

    def _issue(self, session: str) -> dict[str, Any]:
        self._title("She makes an API token for an hour.", 'POST /tokens {name, "expires_in": "1h"}')
        issued: dict[str, Any] = self._client.need(
            201, "POST", "/tokens", {"name": "demo", "expires_in": "1h"}, session
        ).body
        self._say(f"   → 201, a JWT, which is shown only once: {issued['token'][:12]}…{issued['hint']}")
        return issued

    def _model(self, api_token: str) -> str:
        self._title("Which models are there?", "GET /v1/models")
        models = [model["id"] for model in self._client.need(200, "GET", "/v1/models", bearer=api_token).body["data"]]
        self._say(f"   → {', '.join(models)}")
        return str(models[0])

    def _ask(self, api_token: str, model: str) -> None:
        question = "What is the capital of France?"
        self._title(f"She asks: {question}", "POST /v1/chat/completions {model, messages}")
        body = {"model": model, "messages": [{"role": "user", "content": question}], "max_tokens": 64, "temperature": 0}
        answer = self._client.need(200, "POST", "/v1/chat/completions", body, api_token)
        choice, usage = answer.body["choices"][0], answer.body["usage"]
        self._say(f"   → {choice['message']['content'].strip()!r} ({choice['finish_reason']})")
        self._say(
            f"     {usage['prompt_tokens']} + {usage['completion_tokens']} tokens, counted by the engine; left this"
        )
        left = [f"{answer.headers[f'x-ratelimit-remaining-{what}']} {what}" for what in ("requests", "tokens")]
        self._say(f"     minute: {', '.join(left)}")

    def _ask_streamed(self, api_token: str, model: str) -> None:
        question = "What is an API?"
        self._title(f"Again, streamed: {question}", 'POST /v1/chat/completions {…, "stream": true}')
        body = {
            "model": model,
            "messages": [{"role": "user", "content": question}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": 200,
            "temperature": 0,
        }
        self._write("   → ")
        pieces, usage = 0, None
        for chunk in self._client.stream("/v1/chat/completions", body, api_token):
            usage = chunk.get("usage") or usage
            text = (chunk["choices"][0]["delta"].get("content") or "") if chunk["choices"] else ""
            pieces += bool(text)
            self._write(text)
        if usage is None:
            raise DemoError("the stream ended without its usage")
        self._say(f"\n     {pieces} pieces, {usage['completion_tokens']} tokens, [DONE]")

    def _usage(self, session: str) -> None:
        self._title("She reads her log.", "GET /usage/logs")
        until = time.monotonic() + LEDGER_SECONDS
        while True:
            rows = self._client.need(200, "GET", "/usage/logs?limit=10", bearer=session).body["data"]
            if len(rows) >= 2:
                break
            if time.monotonic() > until:
                raise DemoError(f"two requests were answered and the log has {len(rows)}")
            time.sleep(0.1)
        for row in rows:
            kind = "streamed" if row["stream"] else "plain"
            self._say(
                f"   → {row['created_at']}  {row['model']}  {kind:8}  {row['status']}  {row['total_tokens']} tokens  "
                f"{row['response_time_ms']} ms  {row['finish_reason']}"
            )

    def _revoke(self, session: str, issued: dict[str, Any]) -> None:
        self._title("She revokes the token.", f"POST /tokens/{issued['id']}/revoke")
        self._client.need(200, "POST", f"/tokens/{issued['id']}/revoke", bearer=session)
        self._say("   → 200; the next request with it:")
        body = {"model": "demo", "messages": [{"role": "user", "content": "Still there?"}]}
        refused = self._client.need(401, "POST", "/v1/chat/completions", body, issued["token"]).body["error"]
        self._say(f"   → 401 {refused['code']}: {refused['message']}")

    def _next(self, model: str) -> None:
        self._say(f"""
That was the whole path. A program uses the official SDK with two arguments:

    from openai import OpenAI
    client = OpenAI(base_url="{self._client.base_url}/v1", api_key="<an API token>")
    question = [{{"role": "user", "content": "What is the capital of France?"}}]
    print(client.chat.completions.create(model="{model}", messages=question).choices[0].message.content)
""")
