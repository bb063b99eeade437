"""Costs of requests, by hand."""

import pytest

from sluice.domain.usage.pricing import DEFAULT_PRICE, Price, cost_micro_usd, dollars, price_of

PRICES = {"small": Price(50_000, 200_000), "free": Price(0, 0)}


@pytest.mark.parametrize(
    ("model", "prompt_tokens", "completion_tokens", "micro_usd"),
    [
        ("small", 1_000_000, 0, 50_000),
        ("small", 0, 1_000_000, 200_000),
        ("small", 2_000_000, 3_000_000, 700_000),
        ("small", 1, 0, 1),  # rounded up, once
        ("small", 19, 4, 2),
        ("small", 0, 0, 0),
        ("free", 1_000_000, 1_000_000, 0),
        ("another", 1_000_000, 1_000_000, 500_000),
    ],
)
def test_a_cost_is_the_price_of_both_kinds_of_tokens_rounded_up_once(
    model: str, prompt_tokens: int, completion_tokens: int, micro_usd: int
) -> None:
    assert cost_micro_usd(model, prompt_tokens, completion_tokens, PRICES) == micro_usd


def test_a_model_without_a_price_has_the_default_one() -> None:
    assert price_of("small", PRICES) == PRICES["small"]
    assert price_of("another", PRICES) == DEFAULT_PRICE


def test_dollars_are_shown_to_the_micro_dollar() -> None:
    assert [dollars(0), dollars(7), dollars(12_300_000)] == ["0.000000", "0.000007", "12.300000"]
