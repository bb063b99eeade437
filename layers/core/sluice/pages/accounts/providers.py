"""Sign-in by other sites: to the provider, back from it, and the page that asks to link it to an account.

What the browser must keep meanwhile is in two cookies: of a sign-in that was begun, and of an identity to be linked.
Both are tickets for one question each, which is used up in the store (ADR 130).
"""

from flask import redirect, request
from werkzeug.wrappers import Response as AnyResponse

from sluice import settings
from sluice.domain import errors
from sluice.domain.accounts.factors import SETUP_MS
from sluice.domain.accounts.identities import Aim
from sluice.http.accounts.visitor import visitor
from sluice.http.auth import HOST_ONLY, Caller, now_ms, require_session
from sluice.pages import links
from sluice.pages.accounts.second_step import entered
from sluice.pages.blueprints import members, pages
from sluice.pages.render import page, see
from sluice.services.accounts.provider_sign_in import Confirmed, Entered, Holder
from sluice.wiring.accounts import linked_identities, provider_sign_in

blueprint = pages("providers")
BEGUN, TO_LINK = "sluice_provider", "sluice_link"
MAX_ANSWER = 4096
AIMS: dict[str, Aim] = {"link": "link", "confirm": "confirm"}
ASKED = "/my/link-sign-in"


def to_the_provider(provider: str) -> AnyResponse:
    wanted, aim = request.args.get("next", ""), AIMS.get(request.args.get("aim", ""), "enter")
    begun = provider_sign_in().begin(provider, aim, wanted if links.is_place(wanted) else "", _holder(), visitor())
    return _keeping(redirect(begun.address, 303), BEGUN, begun.ticket)


def back_from_it(provider: str) -> AnyResponse:
    answer = {name: text[:MAX_ANSWER] for name, text in request.args.items()}
    ticket, holder = request.cookies.get(_name(BEGUN), ""), _holder()
    ended = provider_sign_in().finish(provider, ticket, answer, holder, visitor())
    if isinstance(ended, Entered):
        led = entered(ended.outcome, ended.next)
    elif isinstance(ended, Confirmed):
        led = see(links.place(ended.next))
    else:
        led = see(ASKED) if holder.account_id else see("/login", note="link", next="link")
        _keeping(led, TO_LINK, ended.ticket)
    return _keeping(led, BEGUN, "")


@blueprint.get(ASKED)
@members
def asked(caller: Caller) -> AnyResponse:
    provider, claimed = linked_identities().asked(_ticket(), caller.account_id, now_ms())
    return page("link_sign_in.html", provider=provider, claimed=claimed)


@blueprint.post(ASKED)
@members
def link(caller: Caller) -> AnyResponse:
    caller.require_fresh()
    linked_identities().link(_ticket(), caller.account_id, visitor())
    return _keeping(see("/my/account", "providers", note="linked"), TO_LINK, "")


@blueprint.post("/my/account/identities/<identity_id>/unlink")
@members
def unlink(caller: Caller, identity_id: str) -> AnyResponse:
    caller.require_fresh()
    linked_identities().unlink(caller.account_id, identity_id, visitor())
    return see("/my/account", "providers", note="unlinked")


def _holder() -> Holder:
    try:
        found = require_session(before_terms=True)
    except (errors.NotAuthenticated, errors.AccountSuspended):
        return Holder()
    return Holder(found.account_id, found.session_id)


def _ticket() -> str:
    return request.cookies.get(_name(TO_LINK), "")


def _name(cookie: str) -> str:
    return HOST_ONLY + cookie if settings.common().https else cookie


def _keeping(response: AnyResponse, cookie: str, ticket: str) -> AnyResponse:
    seconds, https = SETUP_MS // 1000 if ticket else 0, settings.common().https
    response.set_cookie(_name(cookie), ticket, max_age=seconds, path="/", secure=https, httponly=True, samesite="Lax")
    return response
