"""`/tokens…` and the public keys. Only this function holds the key that signs API tokens."""

from functools import partial

import jwt  # noqa: F401  # during INIT, because a new API token needs it
from flask import Blueprint, Response, json

from sluice.domain import errors
from sluice.http.accounts.visitor import visitor
from sluice.http.auth import Caller, now_ms
from sluice.http.on_lambda import lambda_handler
from sluice.http.operation import Auth, operation
from sluice.http.tokens import (
    ChangeTokenBody,
    IssuedTokenInfo,
    IssueTokenBody,
    KeySet,
    RevokedAll,
    RotateTokenBody,
    TokenInfo,
    TokenList,
)
from sluice.pages import tokens as token_pages
from sluice.wiring.tokens import tokens

blueprint = Blueprint("tokens", __name__)
blueprint.register_blueprint(token_pages.blueprint)
documented = partial(operation, tag="API tokens", auth=Auth.SESSION)
KEYS_CACHED_SECONDS = 300  # how long clients may use a cached key set after a rotation


@blueprint.post("/tokens")
@documented(
    "Issue an API token",
    status=201,
    errors=(errors.TokenLimitReached,),
    description="The token is shown only this once. At most 25 are live at a time.",
)
def issue(caller: Caller, body: IssueTokenBody) -> IssuedTokenInfo:
    return IssuedTokenInfo.of(tokens().issue(caller.account_id, body.wanted, now_ms(), epoch=caller.epoch))


@blueprint.get("/tokens")
@documented("One's API tokens, newest first")
def list_all(caller: Caller) -> TokenList:
    return TokenList(data=[TokenInfo.of(listed) for listed in tokens().all(caller.account_id, now_ms())])


@blueprint.get("/tokens/<token_id>")
@documented("One API token", errors=(errors.NotFound,))
def one(caller: Caller, token_id: str) -> TokenInfo:
    return TokenInfo.of(tokens().one(caller.account_id, token_id, now_ms()))


@blueprint.patch("/tokens/<token_id>")
@documented(
    "Change an API token's name, limits or origins",
    errors=(errors.NotFound, errors.Conflict),
    description="In force from the next request on; what it has used stays counted. Only the name of an API token that "
    "is not active can be changed (409).",
)
def change(caller: Caller, body: ChangeTokenBody, token_id: str) -> TokenInfo:
    what = (body.name, body.changed_limits(), now_ms(), body.changed_terms())
    return TokenInfo.of(tokens().change(caller.account_id, token_id, *what))


@blueprint.post("/tokens/<token_id>/rotate")
@documented(
    "Replace an API token by a new one of the same terms",
    status=201,
    errors=(errors.NotFound, errors.Conflict, errors.TokenLimitReached),
    description="The new one is shown only this once, and is valid as long from now on as the old one was when it was "
    "new. Both share their limits and what they have used. An API token is rotated once (409).",
)
def rotate(caller: Caller, body: RotateTokenBody, token_id: str) -> IssuedTokenInfo:
    rotated = tokens().rotate(caller.account_id, token_id, body.grace_seconds, now_ms(), epoch=caller.epoch)
    return IssuedTokenInfo.of(rotated)


@blueprint.post("/tokens/<token_id>/revoke")
@documented(
    "Revoke an API token",
    errors=(errors.NotFound,),
    description="The next request with it gets 401. Revoking it again changes nothing.",
)
def revoke(caller: Caller, token_id: str) -> TokenInfo:
    return TokenInfo.of(tokens().revoke(caller.account_id, token_id, now_ms()))


@blueprint.delete("/tokens/<token_id>")
@documented("Revoke an API token and take it off the list", errors=(errors.NotFound,))
def delete(caller: Caller, token_id: str) -> None:
    tokens().delete(caller.account_id, token_id)


@blueprint.post("/tokens/revoke-all")
@documented("Revoke all API tokens")
def revoke_every(caller: Caller) -> RevokedAll:
    return RevokedAll(revoked=tokens().revoke_all(caller.account_id, visitor()))


@blueprint.get("/.well-known/jwks.json")
@operation(
    "The public keys of API tokens",
    tag="API tokens",
    answers={200: KeySet},
    errors=(errors.Unavailable,),
    description="RFC 7517",
)
def published_keys() -> Response:
    from sluice.adapters.tokens.keys import jwks

    response = Response(json.dumps(jwks()), mimetype="application/json")
    response.headers["Cache-Control"] = f"public, max-age={KEYS_CACHED_SECONDS}"
    return response


handler = lambda_handler(blueprint)
