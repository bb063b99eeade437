"""The bearer credential of a request (RFC 6750, section 2.1)."""

from flask import request

from sluice.domain.errors import InvalidApiToken

MAX_CHARACTERS = 4096


def bearer_token() -> str:
    """Errors: InvalidApiToken where there is none, or nothing a token could be."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise InvalidApiToken("Send an API token: `Authorization: Bearer <API token>`.")
    if len(token) > MAX_CHARACTERS or not token.isascii():
        raise InvalidApiToken()
    return token
