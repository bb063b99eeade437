"""Whether two samples of times differ: the rank test of Mann and Whitney (1947), by its normal approximation.

It compares ranks and not means, because a few slow answers of a busy machine must not count. scipy has this test too,
but needs 40 MB.
"""

from collections.abc import Sequence
from math import erfc, sqrt


def mann_whitney(xs: Sequence[float], ys: Sequence[float]) -> float:
    """The two-sided p-value: how often two samples of the same distribution would differ this much. For samples of 20
    or more; equal values share their mean rank."""
    n, m = len(xs), len(ys)
    ordered = sorted([(value, 0) for value in xs] + [(value, 1) for value in ys])
    rank_sum, ties, start = 0.0, 0, 0
    while start < n + m:
        end = start
        while end < n + m and ordered[end][0] == ordered[start][0]:
            end += 1
        mean_rank = (start + 1 + end) / 2
        rank_sum += mean_rank * sum(1 for _, which in ordered[start:end] if which == 0)
        ties += (end - start) ** 3 - (end - start)
        start = end
    u = rank_sum - n * (n + 1) / 2
    spread = n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1)))
    if spread == 0:
        return 1.0
    return erfc(abs(u - n * m / 2) / sqrt(spread) / sqrt(2))
