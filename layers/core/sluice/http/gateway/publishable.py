"""What a publishable API token may do: ask models, from its own origins, as often as each visitor may."""

from dataclasses import replace

from flask import g, request

from sluice.domain.accounts.throttles import client_network
from sluice.domain.errors import Forbidden
from sluice.domain.tokens import Claims
from sluice.http.client import client_address
from sluice.wiring.gateway import gateway, visitors

MODELS = frozenset(("/v1/models", "/v1/models/<path:name>", "/v2/models/<name>", "/v2/models/<name>/ready"))
ANSWERS = frozenset(
    (
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/rerank",
        "/v1/responses",
        "/v1/responses/input_tokens",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/run/<path:model>",
        "/v2/models/<name>/infer",
    )
)
ROUTES = {"GET": MODELS, "HEAD": MODELS, "POST": ANSWERS}  # all others are refused, those to come as well
NOT_HERE = "A publishable API token is for asking models only. Call this with a secret one, and not from a public page."
NOTHING_STORED = "A publishable API token neither stores nor reads what is stored: no store, files or vector stores."


def judged(claims: Claims) -> Claims:
    """The claims with the origin of the page that asks. A POST counts as one request of its visitor from here on,
    whatever becomes of it. Errors: Forbidden, VisitorLimitReached, InvalidApiToken, AccountSuspended, StoreUnavailable.
    """
    g.public_family = claims.family or claims.token_id  # for the rate-limit headers
    claims = replace(claims, origin=request.environ.get("HTTP_ORIGIN", "").lower())
    rule = request.url_rule.rule if request.url_rule else ""
    if rule not in ROUTES.get(request.method, ()):
        with gateway().authentication_first(claims):
            raise Forbidden(NOT_HERE)
    if request.method != "POST":
        visitors().current_terms(claims)
        return claims
    terms, network = visitors().terms(claims), client_network(client_address())
    visit = visitors().charge(terms, network)
    if not visit.made and (current := visitors().current_terms(claims)) != terms:  # changed since this process saw them
        terms, visit = current, visitors().charge(current, network)
    g.visit = terms.visitor_rpm, visit.tat_ns
    if not visit.made:
        visitors().refuse(terms, visit)
    return claims


def refuse_stored(claims: Claims, *asked: object) -> None:
    """Errors: Forbidden, if any of `asked` is."""
    if claims.publishable and any(asked):
        raise Forbidden(NOTHING_STORED)
