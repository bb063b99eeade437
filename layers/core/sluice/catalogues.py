"""The translations of what people read: catalogues that `python -m infra.words` writes (docs/adr/0134)."""

from functools import cache
from gettext import GNUTranslations, NullTranslations
from pathlib import Path

LOCALES = Path(__file__).with_name("pages") / "locales"


@cache
def catalogue(language: str) -> NullTranslations:
    """English has none: its texts are the keys. Errors: OSError (no such language)."""
    if language == "en":
        return NullTranslations()
    with (LOCALES / language.replace("-", "_") / "LC_MESSAGES" / "messages.mo").open("rb") as file:
        return GNUTranslations(file)
