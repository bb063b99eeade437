"""A provider of OpenID Connect, and GitHub's two addresses, by script: it does what a test says, however wrong.

Tokens are signed with PyJWT, so that they are not made by what checks them.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.servers import Handler, Server

CLIENT, SECRET = "sluice-client", "s3cret+/of the:client".replace(" ", "-")
_ready_keys = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]


class Key:
    """A signing key, one of few, because making one takes a tenth of a second."""

    def __init__(self, kid: str, number: int = 0) -> None:
        self.kid, self.private = kid, _ready_keys[number]

    @property
    def public(self) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.private.public_key()))
        return {**shown, "kid": self.kid, "use": "sig", "alg": "RS256"}


class ScriptedProvider:
    """`more`: members of its description. `claims`: of each id token, over the right ones. `sign`: makes the token.
    `broken`: by path, what a request gets instead of an answer. `asked`: how often each path was."""

    def __init__(self) -> None:
        self.key, self.published = Key("one"), [Key("one")]
        self.more: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.in_user_info: dict[str, Any] = {}
        self.emails: list[dict[str, Any]] = []
        self.sign: Callable[[dict[str, Any]], str] = self.signed
        self.broken: dict[str, bytes | Callable[[Any], None]] = {}
        self.checks_codes = True
        self.asked: Counter[str] = Counter()
        self.codes: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()
        server = Server(self._handler())
        self.issuer, self.close = server.url, server.stop

    # --- what a person does there

    def approve(self, address: str, **claims: Any) -> dict[str, str]:
        """The person at `address`, where the site led, is who the claims say. → the answer that the browser brings."""
        asked = dict(parse_qsl(urlsplit(address).query))
        code = secrets.token_urlsafe(12)
        about = {"email": "ann@example.com", "email_verified": True, "sub": "ann", "name": "Ann", **claims}
        self.codes[code] = {**asked, "claims": json.dumps(about)}
        answer = {"code": code, "state": asked["state"]}
        is_promised = self.more.get("authorization_response_iss_parameter_supported")
        return {**answer, "iss": self.issuer} if is_promised else answer

    def signed(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self.key.private, "RS256", {"kid": self.key.kid})

    def rotate(self, *, publish: bool = True) -> None:
        self.key = Key(f"key-{secrets.token_hex(4)}", 1)
        if publish:
            self.published = [self.key]

    # --- what the site asks

    def description(self) -> dict[str, Any]:
        at = self.issuer
        return {
            "issuer": at,
            "authorization_endpoint": at + "/authorize",
            "token_endpoint": at + "/token",
            "userinfo_endpoint": at + "/userinfo",
            "jwks_uri": at + "/keys",
            **self.more,
        }

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        with self._lock:
            known = self.codes.get(form.get("code", ""))
            if self.checks_codes:
                self.codes.pop(form.get("code", ""), None)
        if not self._is_client(form, authorization):
            return 401, {"error": "invalid_client"}
        if known is None or known["redirect_uri"] != form["redirect_uri"] or not _is_verified(known, form):
            return 400, {"error": "invalid_grant"}
        now, about = int(time.time()), json.loads(known["claims"])
        claims = {"iss": self.issuer, "aud": CLIENT, "exp": now + 300, "iat": now, "nonce": known.get("nonce")}
        token = self.sign({**claims, **about, **self.claims})
        return 200, {"access_token": f"access-{about['sub']}", "token_type": "Bearer", "id_token": token}

    def _is_client(self, form: dict[str, str], authorization: str) -> bool:
        if authorization:
            pair = base64.b64decode(authorization.removeprefix("Basic ")).decode().split(":")
            return [unquote(part) for part in pair] == [CLIENT, SECRET]
        return (form.get("client_id"), form.get("client_secret")) == (CLIENT, SECRET)

    def github_token(self, form: dict[str, str]) -> dict[str, Any]:
        with self._lock:
            known = self.codes.pop(form.get("code", ""), None)
        if known is None or not self._is_client(form, "") or not _is_verified(known, form):
            return {"error": "bad_verification_code"}
        return {"access_token": "gho_" + known["claims"].encode().hex(), "token_type": "bearer"}

    def github_user(self, authorization: str) -> dict[str, Any]:
        about = json.loads(bytes.fromhex(authorization.removeprefix("Bearer gho_")))
        return {"id": int(about["sub"]), "login": "ann", "name": about["name"]}

    def _handler(provider) -> type[Handler]:
        class Requests(Handler):
            protocol_version = "HTTP/1.0"

            def do_GET(self) -> None:
                path, bearer = urlsplit(self.path).path, self.headers.get("Authorization", "")
                answers: dict[str, Callable[[], Any]] = {
                    "/.well-known/openid-configuration": provider.description,
                    "/keys": lambda: {"keys": [one.public for one in provider.published]},
                    "/userinfo": lambda: provider.in_user_info,
                    "/api/v3/user": lambda: provider.github_user(bearer),
                    "/api/v3/user/emails": lambda: provider.emails,
                }
                self.told(path, answers[path]) if path in answers else self.send(404, {})

            def do_POST(self) -> None:
                form = dict(parse_qsl(self.body().decode(), strict_parsing=True))
                path, authorization = urlsplit(self.path).path, self.headers.get("Authorization", "")
                if path == "/token":
                    self.told(path, lambda: provider.token(form, authorization))
                else:
                    self.told(path, lambda: provider.github_token(form))

            def told(self, path: str, made: Callable[[], Any]) -> None:
                provider.asked[path] += 1
                broken = provider.broken.get(path)
                with suppress(ConnectionError):
                    if callable(broken):
                        broken(self.connection)
                        self.close_connection = True
                    elif broken is not None:
                        self.send(200, broken)
                    else:
                        found = made()
                        self.send(*found) if isinstance(found, tuple) else self.send(200, found)

            def send(self, status: int, value: Any) -> None:
                body = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.answer(status, body, content_type="application/json")

        return Requests


def _is_verified(known: dict[str, str], form: dict[str, str]) -> bool:
    """RFC 7636, section 4.6."""
    digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return known.get("code_challenge_method") == "S256" and known["code_challenge"] == challenge
