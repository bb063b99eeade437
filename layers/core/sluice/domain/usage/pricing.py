"""What a request costs, in integer micro-dollars (1 USD = 1,000,000), by the prices of the owner's settings.

A cost is rounded up, once. A model without a price has no cost: None, which is not the same as 0.
"""

from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation

MILLION = 1_000_000
MAX_USD = 10**9


@dataclass(frozen=True)
class Prices:
    """A model's prices in micro-dollars: of a million prompt, completion and cached prompt tokens, of a request, of a
    second. None costs nothing; a cached token without a price of its own costs what any prompt token does.
    `max_seconds` bounds what the seconds of one request may cost."""

    prompt_micro_usd: int | None = None
    completion_micro_usd: int | None = None
    cached_micro_usd: int | None = None
    request_micro_usd: int | None = None
    second_micro_usd: int | None = None
    max_seconds: int = 0

    def at(self, percent: int) -> "Prices":
        """For rows of batches. Each price is rounded up, to a micro-dollar of a million tokens."""
        given = {name: value for name, value in vars(self).items() if name != "max_seconds" and value is not None}
        return replace(self, **{name: -(-value * percent // 100) for name, value in given.items()})


def cost_micro_usd(
    prices: Prices | None, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0, taken_ms: int = 0
) -> int | None:
    """`cached_tokens` are part of `prompt_tokens`. `taken_ms`: how long the answer took, in milliseconds."""
    if prices is None:
        return None
    prompt = prices.prompt_micro_usd or 0
    cached = prompt if prices.cached_micro_usd is None else prices.cached_micro_usd
    exact = (prompt_tokens - cached_tokens) * prompt + cached_tokens * cached
    exact += completion_tokens * (prices.completion_micro_usd or 0) + (prices.request_micro_usd or 0) * MILLION
    exact += min(taken_ms, prices.max_seconds * 1000) * (prices.second_micro_usd or 0) * 1000
    return -(-exact // MILLION)


def bound_micro_usd(prices: Prices | None, prompt_tokens: int, completion_tokens: int) -> int:
    """The most that a request of at most so many tokens may cost: what is reserved for it. 0 without a price. Where a
    prompt token, or a cached one, costs more, completion tokens count as such, because a model server may count them
    so."""
    if prices is None:
        return 0
    prompt, cached_one = prices.prompt_micro_usd or 0, prices.cached_micro_usd or 0
    if max(prompt, cached_one) > (prices.completion_micro_usd or 0):
        prompt_tokens, completion_tokens = prompt_tokens + completion_tokens, 0
    cached = prompt_tokens if cached_one > prompt else 0
    return cost_micro_usd(prices, prompt_tokens, completion_tokens, cached, prices.max_seconds * 1000) or 0


def parse_usd(given: object) -> int:
    """Micro-dollars of an amount that is a decimal text or a number. Errors: ValueError; its message goes on from the
    amount ("… is no amount of dollars")."""
    wrong = ValueError('is no amount of dollars. Write a text such as "0.10", with at most 6 decimals; "0" is free')
    if isinstance(given, bool) or not isinstance(given, str | int | float | Decimal) or len(str(given)) > 32:
        raise wrong
    try:
        amount = Decimal(str(given))
        if not 0 <= amount <= MAX_USD or amount != round(amount, 6):
            raise wrong
    except InvalidOperation:  # also of a NaN, which compares with nothing
        raise wrong from None
    return int(amount * MILLION)


def usd(micro_usd: int | None) -> float | None:
    """Dollars for display, as a float because JSON has no decimal type; None stays None."""
    return None if micro_usd is None else micro_usd / MILLION


def dollars(micro_usd: int) -> str:
    """`0.000123`: to the micro-dollar, the one precision of pages, CSV and headers."""
    return f"{micro_usd // MILLION}.{micro_usd % MILLION:06d}"
