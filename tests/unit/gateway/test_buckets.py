"""A bucket of limit L holds exactly L and refills L a minute, for every L."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.domain.gateway import buckets

NOW = 1_800_000_000_000_000_000


@pytest.mark.parametrize("limit", [1, 2, 7, 10, 59, 60, 61, 1000, 3001, 40_000])
def test_exactly_the_limit_fits_at_one_moment(limit: int) -> None:
    tat, taken = 0, 0
    charge = buckets.charge_ns(1, limit)
    while buckets.wait_ns(tat, charge, NOW) == 0:
        tat, taken = buckets.take(tat, charge, NOW), taken + 1
    assert taken == limit


@given(limit=st.integers(1, 1_000_000), cost=st.integers(1, 100_000), tat_offset_ns=st.integers(-(10**12), 60 * 10**9))
def test_the_returned_wait_is_long_enough_and_a_second_less_is_not(limit: int, cost: int, tat_offset_ns: int) -> None:
    if cost > limit:
        return
    tat, charge = NOW + tat_offset_ns, buckets.charge_ns(cost, limit)
    wait = buckets.wait_ns(tat, charge, NOW)
    assert buckets.wait_ns(tat, charge, NOW + wait) == 0
    if wait > buckets.SECOND_NS:
        assert buckets.wait_ns(tat, charge, NOW + wait - buckets.SECOND_NS) == buckets.SECOND_NS


@given(limit=st.integers(1, 10_000), used=st.integers(0, 10_000))
def test_returned_tokens_can_be_taken_again_up_to_the_buckets_size(limit: int, used: int) -> None:
    used = min(used, limit)
    charge = buckets.charge_ns(limit, limit)
    tat = buckets.take(0, charge, NOW) - charge * (limit - used) // limit
    assert buckets.remaining_units(tat, limit, NOW) >= limit - used - 1
    assert buckets.remaining_units(tat - 10 * charge, limit, NOW) == limit


def test_a_bucket_is_full_after_a_minute() -> None:
    tat = buckets.take(0, buckets.charge_ns(60, 60), NOW)
    assert buckets.remaining_units(tat, 60, NOW) == 0
    assert buckets.remaining_units(tat, 60, NOW + 30 * buckets.SECOND_NS) == 30
    assert buckets.remaining_units(tat, 60, NOW + 60 * buckets.SECOND_NS) == 60
    assert buckets.full_in_ns(tat, NOW) == 60 * buckets.SECOND_NS
    assert buckets.full_in_ns(NOW, NOW) == buckets.full_in_ns(NOW - 1, NOW) == 0
