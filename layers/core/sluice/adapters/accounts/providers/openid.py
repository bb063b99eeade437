"""A provider by OpenID Connect (Core 1.0, Discovery 1.0), with Authlib, which is imported with the first sign-in.

Its description and its keys are kept for an hour. A key that is not among them is looked for once a minute at most, so
that a provider can change its keys at any time, and nobody can make us ask for them again and again.
"""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sluice.adapters.accounts.providers import fetch
from sluice.domain.accounts.identities import MAX_SUBJECT_CHARACTERS, Claimed, SignInRefused, Started

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

log = logging.getLogger("sluice.providers")

KEPT_SECONDS = 3600.0
AGAIN_SECONDS = 60.0
SKEW_SECONDS = 60
MAX_TOKEN_CHARACTERS = 16_384
MAX_KEYS = 50
# Signatures by a private key only: with HMAC who knows the client's secret could sign, and `none` is no signature.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA"]
SCOPE = "openid email profile"


class OpenIdProvider:
    """`sluice.ports.Provider`. `secret`: the client's, read when it is needed; None for a public client."""

    def __init__(
        self,
        name: str,
        title: str,
        issuer: str,
        client_id: str,
        secret: Callable[[], str] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.title = name, title
        self._issuer, self._client_id, self._secret, self._clock = issuer, client_id, secret, clock
        self._described: Mapping[str, Any] = {}
        self._described_until = self._keys_until = self._look_again = float("-inf")
        self._keys: KeySet | None = None

    def address(self, started: Started, back: str) -> str:
        from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
        from authlib.oauth2.rfc7636 import create_s256_code_challenge

        with fetch.answering(self.name, self.title):
            to = self._endpoint(self._description(), "authorization_endpoint")
        return str(
            prepare_grant_uri(
                to,
                self._client_id,
                "code",
                back,
                SCOPE,
                started.state,
                nonce=started.nonce,
                code_challenge=create_s256_code_challenge(started.verifier),
                code_challenge_method="S256",
                prompt="login" if started.aim == "confirm" else None,
            )
        )

    def claimed(self, started: Started, answer: Mapping[str, str], back: str) -> Claimed:
        with fetch.answering(self.name, self.title):
            described = self._description()
            self._require_issuer(described, answer)
            if answer.get("error") or not answer.get("code"):
                raise SignInRefused()
            form = {
                "grant_type": "authorization_code",
                "code": answer["code"],
                "redirect_uri": back,
                "code_verifier": started.verifier,
            }
            told = fetch.post(self._endpoint(described, "token_endpoint"), *self._authenticated(form, described))
            claims = self._id_token(described, told["id_token"], started.nonce)
            if "email" not in claims and described.get("userinfo_endpoint"):
                claims = {**claims, **self._user_info(described, str(told["access_token"]), claims["sub"])}
            return _claimed(self._issuer, claims)

    # --- what it is

    def _description(self) -> Mapping[str, Any]:
        if self._clock() >= self._described_until:
            place = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
            found = fetch.get(fetch.require_safe(place, self._issuer))
            if found["issuer"] != self._issuer:
                raise fetch.Unusable(f"it calls itself {str(found['issuer'])[:200]!r}, not {self._issuer!r}")
            self._described, self._described_until = found, self._clock() + KEPT_SECONDS
        return self._described

    def _endpoint(self, described: Mapping[str, Any], name: str) -> str:
        return fetch.require_safe(described[name], self._issuer)

    def _require_issuer(self, described: Mapping[str, Any], answer: Mapping[str, str]) -> None:
        """RFC 9207: that another provider's answer is not taken for this one's (mix-up)."""
        is_promised = described.get("authorization_response_iss_parameter_supported") is True
        if (is_promised or "iss" in answer) and answer.get("iss") != self._issuer:
            raise SignInRefused()

    def _authenticated(
        self, form: dict[str, str], described: Mapping[str, Any]
    ) -> tuple[dict[str, str], tuple[str, str] | None]:
        """The form and the Authorization header's pair. `client_secret_basic` unless only the other is offered."""
        if self._secret is None:
            return {**form, "client_id": self._client_id}, None
        ways = described.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if "client_secret_basic" in ways:
            return form, (self._client_id, self._secret())
        return {**form, "client_id": self._client_id, "client_secret": self._secret()}, None

    def _user_info(self, described: Mapping[str, Any], access_token: str, subject: object) -> Mapping[str, Any]:
        found = fetch.get(self._endpoint(described, "userinfo_endpoint"), access_token)
        if found["sub"] != subject:  # Core, section 5.3.2
            raise SignInRefused()
        return {name: found[name] for name in ("email", "email_verified", "name") if name in found}

    # --- the id token

    def _id_token(self, described: Mapping[str, Any], token: object, nonce: str) -> Mapping[str, Any]:
        """Core, section 3.1.3.7. Errors: SignInRefused."""
        from authlib.oidc.core import CodeIDToken
        from joserfc import jwt
        from joserfc.errors import JoseError

        if not isinstance(token, str) or len(token) > MAX_TOKEN_CHARACTERS:
            raise SignInRefused()
        try:
            found = jwt.decode(token, lambda signed: self._key(described, signed.headers()), algorithms=ALGORITHMS)
            wanted = {"iss": self._issuer, "aud": self._client_id}
            needed = {name: {"essential": True, "value": value} for name, value in wanted.items()}
            about = {"nonce": nonce, "client_id": self._client_id}
            CodeIDToken(found.claims, found.header, needed, about).validate(leeway=SKEW_SECONDS)
        except (JoseError, ValueError, TypeError, KeyError) as exc:
            log.warning("id token of %s refused: %s", self.name, type(exc).__name__)
            raise SignInRefused() from exc
        return dict(found.claims)

    def _key(self, described: Mapping[str, Any], header: Mapping[str, Any]) -> Any:
        keys = self._known_keys(described)
        wanted = header.get("kid")
        if wanted is not None and not _has(keys, wanted) and self._clock() >= self._look_again:
            self._keys_until = float("-inf")
            self._look_again = self._clock() + AGAIN_SECONDS
            keys = self._known_keys(described)
        return keys

    def _known_keys(self, described: Mapping[str, Any]) -> "KeySet":
        if self._keys is None or self._clock() >= self._keys_until:
            found = fetch.get(self._endpoint(described, "jwks_uri"))
            self._keys, self._keys_until = _key_set(found), self._clock() + KEPT_SECONDS
        return self._keys


def _key_set(document: object) -> "KeySet":
    """Without keys of kinds that we do not know, and without secret ones. Errors: Unusable."""
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet, import_key

    found, keys = document.get("keys") if isinstance(document, dict) else None, list[Any]()
    for one in found[:MAX_KEYS] if isinstance(found, list) else ():
        if isinstance(one, dict) and one.get("kty") in ("RSA", "EC", "OKP") and one.get("use", "sig") == "sig":
            with suppress(JoseError, ValueError, TypeError, KeyError):
                keys.append(import_key(one))
    if not keys:
        raise fetch.Unusable("it publishes no key")
    return KeySet(keys)


def _has(keys: "KeySet", wanted: object) -> bool:
    return any(key.kid == wanted for key in keys.keys)


def _claimed(issuer: str, claims: Mapping[str, Any]) -> Claimed:
    subject, email, name = claims["sub"], claims.get("email"), claims.get("name")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_CHARACTERS:
        raise SignInRefused()
    is_verified = claims.get("email_verified") in (True, "true")  # a text at some providers
    return Claimed(issuer, subject, email if is_verified and isinstance(email, str) else "", _text(name))


def _text(name: object) -> str:
    return name if isinstance(name, str) else ""
