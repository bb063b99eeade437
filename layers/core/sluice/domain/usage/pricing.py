"""Prices in integer micro-dollars per million model tokens, so that a cost is rounded only once."""

from collections.abc import Mapping
from dataclasses import dataclass

MILLION = 1_000_000


@dataclass(frozen=True)
class Price:
    """The price of a million tokens, in micro-dollars (1 USD = 1,000,000)."""

    prompt_micro_usd: int
    completion_micro_usd: int


DEFAULT_PRICE = Price(prompt_micro_usd=100_000, completion_micro_usd=400_000)  # 0.10 and 0.40 USD a million
PRICES: Mapping[str, Price] = {"demo": Price(50_000, 200_000)}


def price_of(model: str, prices: Mapping[str, Price] = PRICES) -> Price:
    return prices.get(model, DEFAULT_PRICE)


def cost_micro_usd(model: str, prompt_tokens: int, completion_tokens: int, prices: Mapping[str, Price] = PRICES) -> int:
    """The price of one request in micro-dollars, rounded up."""
    price = price_of(model, prices)
    exact = prompt_tokens * price.prompt_micro_usd + completion_tokens * price.completion_micro_usd
    return -(-exact // MILLION)


def usd(micro_usd: int | None) -> float | None:
    """Dollars for display, as a float because JSON has no decimal type; None stays None."""
    return None if micro_usd is None else micro_usd / MILLION


def dollars(micro_usd: int) -> str:
    """`0.000123`: to the micro-dollar, the one precision of pages, CSV and headers."""
    return f"{micro_usd // MILLION}.{micro_usd % MILLION:06d}"
