"""The patterns of pages are those of CLDR, as Babel has them."""

from datetime import UTC, datetime

import pytest
from babel.dates import format_date
from babel.numbers import format_currency, format_decimal

from sluice.domain.languages import ENGLISH, Language
from sluice.pages.amounts import WRITTEN

AT = datetime(2026, 4, 5, 9, 3, tzinfo=UTC)  # one digit each, so that padding shows


@pytest.mark.parametrize("language", [one for one in WRITTEN if one != ENGLISH])
def test_dates_and_money_are_written_as_cldr_says(language: Language) -> None:
    locale, written = language.replace("-", "_"), WRITTEN[language]
    assert written.day.format(AT) == format_date(AT, "long", locale)
    assert written.short_day.format(AT) == format_date(AT, "short", locale)
    assert f"{written.dollar}1,234.50" == format_currency(1234.5, "USD", locale=locale)
    assert format_decimal(1234567, locale=locale) == f"{1234567:,}"
