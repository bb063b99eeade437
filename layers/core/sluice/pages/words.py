"""The words of pages in the language of whoever reads them."""

from collections.abc import Mapping

from flask import g, has_request_context, request

from sluice.catalogues import catalogue
from sluice.domain.languages import ENGLISH, Language
from sluice.domain.phrases import Phrase, later
from sluice.http.language import asked_language

__all__ = ["_", "language", "later", "noted", "translated", "translated_count", "worded"]


def _(text: str, /, **values: object) -> str:
    """`text` is English, and its translations' key. `values` stand in it as `%(name)s`, a percent sign as `%%`."""
    return translated(text) % values


def noted(notes: Mapping[str, str]) -> str:
    """The note that a redirect asked for, from a fixed table, so that a link cannot make the page show other text."""
    found = notes.get(request.args.get("note", ""), "")
    return found and _(found)


def worded(message: str) -> str:
    """What a rule or a use case said, as far as a catalogue has it."""
    if isinstance(message, Phrase):
        return _(message.template, **{name: worded(value) for name, value in message.values.items()})
    return translated(message) if isinstance(message, str) else message


def translated(text: str) -> str:
    """Without its values."""
    return catalogue(language()).gettext(text) if text else ""


def translated_count(one: str, many: str, count: int) -> str:
    """The one of a text's forms that its language uses with this count, without its values; `%(num)s` is the count."""
    return catalogue(language()).ngettext(one, many, count)


def language() -> Language:
    """That of the account, else of the switch's cookie, else what the browser prefers, else the site's first."""
    if not has_request_context():
        return ENGLISH
    if "language" not in g:
        g.language = asked_language(getattr(g.get("page_caller"), "language", ""))
    return g.language  # type: ignore[no-any-return]
