"""The title of an error, by its status, in the language of whoever reads it."""

from flask import request

from sluice.catalogues import catalogue
from sluice.domain.languages import ENGLISH, LANGUAGES, Language, wanted
from sluice.domain.phrases import later

OVERLOADED = 529  # Anthropic's status; everywhere else it is 503
VARY = "Authorization, Cookie, Accept-Language"  # of what is in the reader's language
TITLES = {
    400: later("Bad request"),
    401: later("Not authenticated"),
    402: later("Payment required"),
    403: later("Forbidden"),
    404: later("Not found"),
    405: later("Method not allowed"),
    408: later("Request timeout"),
    409: later("Conflict"),
    413: later("Request too large"),
    415: later("Unsupported media type"),
    422: later("Not valid"),
    429: later("Too many requests"),
    500: later("Internal error"),
    502: later("Bad gateway"),
    503: later("Service unavailable"),
    504: later("Gateway timeout"),
    OVERLOADED: later("Overloaded"),
}


def preferred_language() -> Language:
    """Of a problem's title. Whatever the site offers, because an error must not need its settings."""
    return wanted(request.headers.get("Accept-Language", ""), tuple(LANGUAGES)) or ENGLISH


def title_in(language: Language, status: int) -> str:
    return catalogue(language).gettext(TITLES[status])
