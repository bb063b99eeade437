"""The languages that people can choose, and which of them a browser asks for."""

from collections.abc import Sequence
from typing import Literal

Language = Literal["en", "zh-Hant", "ja"]
ENGLISH: Language = "en"
LANGUAGES: dict[Language, str] = {"en": "English", "zh-Hant": "繁體中文", "ja": "日本語"}  # each in its own words
OF_SUBTAG: dict[str, Language] = {"en": "en", "zh": "zh-Hant", "ja": "ja"}  # zh-CN, too: it is the nearest
MAX_CHARACTERS, MAX_RANGES = 1000, 30


def wanted(accept_language: str, offered: Sequence[Language]) -> Language | None:
    """The offered language that an `Accept-Language` header prefers (RFC 4647, lookup), or None if it names none.

    What is no range is left out, because a browser's settings may hold anything.
    """
    ranges = [one.partition(";") for one in accept_language[:MAX_CHARACTERS].split(",")[:MAX_RANGES]]
    weighed = [(tag.strip().lower(), _weight(more)) for tag, _, more in ranges]
    for tag, weight in sorted(weighed, key=lambda one: -one[1]):
        known = offered[0] if tag == "*" else OF_SUBTAG.get(tag.partition("-")[0])
        if weight > 0 and known in offered:
            return known
    return None


def _weight(parameters: str) -> float:
    name, _, text = parameters.partition("=")
    if not name.strip():
        return 1.0
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if name.strip().lower() == "q" and 0 <= weight <= 1 else 0.0
