"""The bearer credential of a request (RFC 6750, section 2.1; Anthropic's `x-api-key`), and its verified claims."""

from flask import request

from sluice.domain.errors import ApiTokenExpired, InsufficientScope, InvalidApiToken
from sluice.domain.tokens import Claims
from sluice.http.gateway.context import known, speaks_anthropic
from sluice.wiring import peers
from sluice.wiring.gateway import gateway

MAX_CHARACTERS = 4096


def bearer_token() -> str:
    """Errors: InvalidApiToken if it is missing or cannot be a token."""
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
    """The verified claims. Whether the API token is still live is for admission to decide. Errors: InvalidApiToken,
    and InsufficientScope where it lacks `scope`."""
    try:
        claims = peers.token_verifier().verify(bearer_token(), gateway().clock() // 1_000_000_000)
    except ApiTokenExpired as exc:
        known(exc.account_id, exc.token_id)
        raise
    known(claims.account_id, claims.token_id)
    if scope is not None and scope not in claims.scopes:
        with gateway().authentication_first(claims):
            raise InsufficientScope(f"This API token lacks the scope {scope!r}.")
    return claims
