"""Sentences for people that rules and use cases say: English, with what a translation of them needs."""

from typing import Any


class Phrase(str):
    """`template`: the key of its translations, in which `values` stand as `%(name)s`."""

    template: str
    values: dict[str, Any]


def later(text: str) -> str:
    """Marks a text for the catalogues that is translated where it is shown."""
    return text


def exactly(english: str, template: str) -> Phrase:
    """What a library says in English only, and what its translations say instead."""
    said = Phrase(english)
    said.template, said.values = template, {}
    return said


def phrase(template: str, /, **values: Any) -> Phrase:
    """A literal percent sign in `template` is `%%`."""
    said = Phrase(template % values)
    said.template, said.values = template, values
    return said
