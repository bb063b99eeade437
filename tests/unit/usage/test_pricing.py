"""Costs of requests, by hand."""

import pytest

from sluice.domain.usage.pricing import Prices, bound_micro_usd, cost_micro_usd, dollars

SMALL = Prices(50_000, 200_000)
CACHED = Prices(50_000, 200_000, cached_micro_usd=10_000)
FREE = Prices(0, 0)
SECONDS = Prices(request_micro_usd=7, second_micro_usd=300, max_seconds=60)


@pytest.mark.parametrize(
    ("prices", "counted", "micro_usd"),
    [
        (SMALL, (1_000_000, 0), 50_000),
        (SMALL, (0, 1_000_000), 200_000),
        (SMALL, (2_000_000, 3_000_000), 700_000),
        (SMALL, (1, 0), 1),  # rounded up, once
        (SMALL, (19, 4), 2),
        (SMALL, (0, 0), 0),
        (SMALL, (1_000_000, 0, 1_000_000), 50_000),  # cached tokens have no price of their own
        (CACHED, (1_000_000, 0, 400_000), 34_000),
        (FREE, (1_000_000, 1_000_000), 0),
        (SECONDS, (0, 0), 7),
        (SECONDS, (9, 9, 0, 1_500), 457),
        (SECONDS, (0, 0, 0, 3_600_000), 18_007),  # at most `max_seconds`
        (None, (1_000_000, 1_000_000), None),
    ],
)
def test_a_cost_is_the_sum_of_all_prices_rounded_up_once(
    prices: Prices | None, counted: tuple[int, ...], micro_usd: int | None
) -> None:
    assert cost_micro_usd(prices, *counted) == micro_usd


@pytest.mark.parametrize(
    ("prices", "micro_usd"),
    [
        (None, 0),
        (FREE, 0),
        (SMALL, 700_000),
        (CACHED, 700_000),
        (Prices(50_000, 200_000, cached_micro_usd=90_000), 780_000),  # an owner may well do that
        (SECONDS, 18_007),
    ],
)
def test_what_is_reserved_is_the_most_that_a_request_may_cost(prices: Prices | None, micro_usd: int) -> None:
    assert bound_micro_usd(prices, 2_000_000, 3_000_000) == micro_usd


def test_dollars_are_shown_to_the_micro_dollar() -> None:
    assert [dollars(0), dollars(7), dollars(12_300_000)] == ["0.000000", "0.000007", "12.300000"]
