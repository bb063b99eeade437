"""The language of a request's answer, and of the mails that it leads to."""

from collections.abc import Sequence
from typing import cast

from flask import request

from sluice.domain.languages import LANGUAGES, Language, wanted
from sluice.wiring.settings import site

COOKIE = "sluice_language"  # set by the switch on every page


def asked_language(of_account: str = "") -> Language:
    """Of those that the site offers: the account's, else the cookie's, else the browser's, else the site's first."""
    offered = cast(Sequence[Language], site().languages)
    if of_account in offered:
        return cast(Language, of_account)
    return browsers_language(offered) or offered[0]


def browsers_language(offered: Sequence[Language] = tuple(LANGUAGES)) -> Language | None:
    """Without the site's settings: that of the cookie, else what the browser prefers."""
    chosen = request.cookies.get(COOKIE, "")
    if chosen in offered:
        return cast(Language, chosen)
    return wanted(request.headers.get("Accept-Language", ""), offered)
