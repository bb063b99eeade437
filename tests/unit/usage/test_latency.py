"""Percentiles of latency by nearest rank: each figure is the latency of a real request."""

import pytest

from sluice.domain.usage.latency import nearest_rank


@pytest.mark.parametrize(
    ("ordered", "percent", "rank"),
    [([], 50, None), ([7], 50, 7), ([7], 95, 7), ([1, 2], 50, 1), ([1, 2, 3], 50, 2), (list(range(1, 21)), 95, 19),
     (list(range(1, 101)), 95, 95), (list(range(1, 102)), 95, 96)],
)  # fmt: skip
def test_a_percentile_is_the_smallest_value_that_covers_its_share(
    ordered: list[int], percent: int, rank: int | None
) -> None:
    assert nearest_rank(ordered, percent) == rank
    if rank is not None:
        assert sum(one <= rank for one in ordered) * 100 >= percent * len(ordered)
