"""Renders a page from its template, with the headers that every page has."""

from collections.abc import Sequence
from functools import cache
from shlex import quote
from typing import Any

from flask import Response, g, redirect, request
from jinja2 import Environment, PackageLoader, StrictUndefined
from werkzeug.wrappers import Response as AnyResponse

from sluice import settings
from sluice.domain.languages import ENGLISH, LANGUAGES
from sluice.domain.periods import rfc3339
from sluice.http.auth import cookie_name
from sluice.http.titles import VARY
from sluice.pages import assets, forms, links
from sluice.pages.amounts import (
    dated,
    day,
    duration,
    minute,
    moment,
    money,
    named,
    number,
    places,
    second,
    short_money,
    size,
    wait,
)
from sluice.pages.words import language, translated, translated_count, worded
from sluice.wiring.settings import payment, sign_in_providers, site

# For pages without scripts: nothing inline, and nothing from another origin.
FORMS = "form-action 'self'"
POLICY = f"default-src 'none'; style-src 'self'; img-src 'self'; {FORMS}; base-uri 'none'; frame-ancestors 'none'"
# For the few pages with scripts: our own files, which may call our own server. Nothing inline, no `eval`.
SCRIPTED = POLICY + "; script-src 'self'; connect-src 'self'"


WORDY = frozenset({"copy.js", "chat.js", "documents.js", "plots.js"})  # scripts that say something


def page(
    template: str, status: int = 200, /, scripts: Sequence[str] = (), leads_to: Sequence[str] = (), **facts: Any
) -> Response:
    """`facts`: values for the template, which escapes their text. `scripts`: names in `assets.ASSETS`, in order; a page
    that asks for a password has none (ADR 60). `leads_to`: other origins to which its forms may redirect."""
    facts.setdefault("form", forms.Form())
    shown = _environment().get_template(template).render(scripts=_with_words(scripts), **_around(facts), **facts)
    response = Response(shown, status, mimetype="text/html")
    response.headers["Content-Language"] = language()
    response.headers["Vary"] = VARY
    policy = SCRIPTED if scripts else POLICY
    response.headers["Content-Security-Policy"] = policy.replace(FORMS, " ".join((FORMS, *leads_to)))
    if request.path in links.WITH_CODE:
        response.headers["Referrer-Policy"] = "no-referrer"
    if "new_form_cookie" in g:
        response.set_cookie(
            forms.cookie_name(), g.new_form_cookie, secure=settings.common().https, httponly=True, samesite="Lax"
        )
    return response


def _around(facts: dict[str, Any]) -> dict[str, Any]:
    """What every page shows around its own: the site, the menu, the languages."""
    may_be_member, is_admin = cookie_name() in request.cookies, getattr(g.get("page_caller"), "is_admin", False)
    path, owners = request.path, site()
    sells = payment() is not None
    is_inside, may_sign_up = links.is_for_members(path), owners.sign_up in ("open", "domains")
    return {
        "path": path,
        "language": language(),
        "languages": [(one, LANGUAGES[one]) for one in owners.languages],
        "back": links.here(path, request.args) if request.method == "GET" else links.before(path),
        "mailed_code": facts.get("code", "") if path in links.WITH_CODE else "",
        "site": owners,
        "may_sign_up": may_sign_up,
        "sells": sells,
        "navigation": links.navigation(
            member=may_be_member,
            admin=is_admin,
            inside=is_inside,
            open_to_all=may_sign_up,
            sells=sells,
        ),
        "is_member": is_inside and may_be_member,
        "has_problems": bool(facts["form"].problems),
    }


def _with_words(scripts: Sequence[str]) -> Sequence[str]:
    """After the files that give the scripts their words, in the language of the page."""
    if not WORDY.intersection(scripts):
        return scripts
    translations = () if language() == ENGLISH else (f"words_{language()}.js",)
    return (*translations, "words.js", *scripts)


def see(path: str, anchor: str = "", **query: str | None) -> AnyResponse:
    """Redirects to one of our pages by GET after a POST, so that a reload does not send the form again."""
    return redirect(links.at(path, **query) + (f"#{anchor}" if anchor else ""), 303)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("sluice.pages", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.install_gettext_callables(translated, translated_count, newstyle=True)  # type: ignore[attr-defined]  # (what `i18n` adds)
    made.globals |= {"at": links.at, "form_token": forms.token, "asset": _asset, "sign_in_providers": sign_in_providers}
    made.policies["ext.i18n.trimmed"] = True
    made.filters |= {"day": day, "moment": moment, "number": number, "money": money, "duration": duration}
    made.filters |= {"size": size, "shell_quoted": quote, "wait": wait, "second": second, "places": places}
    made.filters |= {"dated": dated, "minute": minute, "named": named, "rfc3339": rfc3339, "short_money": short_money}
    made.filters["worded"] = worded
    return made


def _asset(name: str) -> str:
    return links.at(f"/static/{name}", v=assets.version(name))
