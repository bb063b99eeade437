"""The bearer credential of a request (RFC 6750, section 2.1; Anthropic's `x-api-key`), and its verified claims."""

from dataclasses import replace
from typing import Any, Protocol

from sluice.domain.errors import ApiTokenExpired, InsufficientScope, InvalidApiToken, InvalidModelRequest
from sluice.domain.tokens import Claims
from sluice.http.gateway.context import known, speaks_anthropic
from sluice.http.here import asked
from sluice.wiring import peers
from sluice.wiring.gateway import gateway

MAX_CHARACTERS = 4096
LOCAL_ONLY = "x-sluice-local-only"


def bearer_token() -> str:
    """Errors: InvalidApiToken if it is missing or cannot be a token."""
    request = asked()
    header: str = request.environ.get("HTTP_AUTHORIZATION", "")
    scheme, _, token = header.partition(" ")
    token = token.strip() if scheme.lower() == "bearer" else ""
    if not token and speaks_anthropic():
        token = request.headers.get("x-api-key", "").strip()
    if not token:
        raise InvalidApiToken("Send an API token: `Authorization: Bearer <API token>`.")
    if len(token) > MAX_CHARACTERS or not token.isascii():
        raise InvalidApiToken()
    return token


def authenticate(scope: str | None) -> Claims:
    """The verified claims; a request may be local-only although its API token is not. Whether the API token is still
    live is for admission to decide. Errors: InvalidApiToken, InsufficientScope where it lacks `scope`,
    InvalidModelRequest for a wrong header, and of a publishable one those of `publishable.judged`."""
    try:
        claims = peers.token_verifier().verify(bearer_token(), gateway().clock() // 1_000_000_000)
    except ApiTokenExpired as exc:
        known(exc.account_id, exc.token_id)
        raise
    known(claims.account_id, claims.token_id)
    if claims.publishable:
        from sluice.http.gateway.publishable import judged

        claims = judged(claims)
    if scope is not None and scope not in claims.scopes:
        with gateway().authentication_first(claims):
            raise InsufficientScope(f"This API token lacks the scope {scope!r}.")
    if (wanted := asked().headers.get(LOCAL_ONLY)) is None:
        return claims
    with gateway().authentication_first(claims):
        return replace(claims, local_only=_flag(wanted) or claims.local_only)


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):  # what is not understood must not leave home
        raise InvalidModelRequest(f"The header {LOCAL_ONLY} is true or false.", LOCAL_ONLY)
    return text.lower() == "true"


class NamesModel(Protocol):
    model: str


def asked_model(claims: Claims, body: NamesModel, capability: str) -> dict[str, Any]:
    """The model that the body names. From here on the body has its id in the place of an alias, so that the server
    knows it, and the answer says who answered. Errors: as `Gateway.model_for`."""
    model = gateway().model_for(claims, body.model, capability)
    body.model = str(model["id"])
    return model
