"""Renders a page from its template, with the headers that every page has."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from shlex import quote
from typing import Any

from flask import Response, g, redirect, request
from jinja2 import Environment, PackageLoader, StrictUndefined
from werkzeug.wrappers import Response as AnyResponse

from sluice import settings
from sluice.domain.usage.pricing import dollars
from sluice.http.auth import cookie_name
from sluice.pages import assets, forms, links
from sluice.wiring.settings import site

# For pages without scripts: nothing inline, and nothing from another origin.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# For the few pages with scripts: our own files, which may call our own server. Nothing inline, no `eval`.
SCRIPTED = POLICY + "; script-src 'self'; connect-src 'self'"


def page(template: str, status: int = 200, /, scripts: Sequence[str] = (), **facts: Any) -> Response:
    """`facts`: values for the template, which escapes their text. `scripts`: names in `assets.ASSETS`, in order; a page
    that asks for a password has none (ADR 60)."""
    form = facts.setdefault("form", forms.Form())
    may_be_member, is_admin = cookie_name() in request.cookies, getattr(g.get("page_caller"), "is_admin", False)
    is_inside, owners = links.is_for_members(request.path), site()
    may_sign_up = owners.sign_up in ("open", "domains")
    shown = (
        _environment()
        .get_template(template)
        .render(
            path=request.path,
            scripts=scripts,
            site=owners,
            may_sign_up=may_sign_up,
            navigation=links.navigation(
                member=may_be_member, admin=is_admin, inside=is_inside, open_to_all=may_sign_up
            ),
            is_member=is_inside and may_be_member,
            has_problems=bool(form.problems),
            **facts,
        )
    )
    response = Response(shown, status, mimetype="text/html")
    response.headers["Content-Security-Policy"] = SCRIPTED if scripts else POLICY
    if request.path in links.WITH_CODE:
        response.headers["Referrer-Policy"] = "no-referrer"
    if "new_form_cookie" in g:
        response.set_cookie(
            forms.cookie_name(), g.new_form_cookie, secure=settings.common().https, httponly=True, samesite="Lax"
        )
    return response


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
    )
    made.globals |= {"at": links.at, "form_token": forms.token, "asset": _asset}
    made.filters |= {"day": day, "moment": moment, "number": number, "money": money, "duration": duration}
    made.filters |= {"size": size, "shell_quoted": quote, "wait": wait, "second": second, "places": places}
    return made


def _asset(name: str) -> str:
    return links.at(f"/static/{name}", v=assets.version(name))


def moment(at_ms: int | None) -> str:
    """`2026-11-20 12:00 UTC`"""
    return "never" if at_ms is None else datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def day(at_ms: int) -> str:
    """`2026-11-20`, in UTC."""
    return moment(at_ms)[:10]


def second(at_ms: int) -> str:
    """`2026-11-20 12:00:05`, in UTC, for a column that names the zone."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def number(count: int) -> str:
    return f"{count:,}"


def money(micro_usd: int | None, decimals: int = 6) -> str:
    """`$0.000123`, or a dash where there is no price."""
    if micro_usd is None:
        return "–"
    step = 10 ** (6 - decimals)
    whole, part = dollars((micro_usd + step // 2) // step * step).split(".")
    return f"${int(whole):,}.{part[:decimals]}"


def places(most_micro_usd: int | None) -> int:
    """The decimals of every amount of a table whose largest is this one, so that the points are below each other."""
    return 6 if not most_micro_usd or most_micro_usd < 1_000_000 else 4 if most_micro_usd < 100_000_000 else 2


def size(count_bytes: int) -> str:
    """`12 bytes`, `3.4 KiB`, `12.3 MiB`"""
    if count_bytes < 1024:
        return f"{count_bytes} byte{'' if count_bytes == 1 else 's'}"
    kib = count_bytes / 1024
    return f"{kib:,.1f} KiB" if kib < 1024 else f"{kib / 1024:,.1f} MiB"


def wait(seconds: int) -> str:
    """`1 second`, `90 seconds`, `3 days`: rounded up, as `inWords` of chat_words.js does."""
    units = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
    unit_seconds, name = next(unit for unit in units if seconds >= 2 * unit[0] or unit[0] == 1)
    count = -(-seconds // unit_seconds)
    return f"{count} {name}{'' if count == 1 else 's'}"


def duration(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "–"
    return f"{milliseconds} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"
