"""docs/scaling.md equals the output of the script; the simulation respects its limits."""

import pytest

from infra.aws import scaling
from infra.aws.cost.inputs import counts
from infra.aws.scaling_page import PAGE, page


@pytest.mark.slow
def test_the_document_is_what_the_script_prints() -> None:
    assert PAGE.read_text() == page(), "run: python -m infra.aws.scaling_page --write"


def test_ceilings_of_one_account_by_hand() -> None:
    written = counts()["request"]["written"]
    ceilings = scaling.account_ceilings(stream_seconds=0)
    assert ceilings["grant (one item)"] == 1000 / written["grants"]
    assert ceilings["contents (its newest)"] == 1000 / written["contents"]


def test_each_checkpoint_of_a_stream_costs_one_write_of_the_grant() -> None:
    more = scaling.grant_units(4 * scaling.CHECKPOINT_SECONDS) - scaling.grant_units(0)
    assert more == 4


def test_a_partition_takes_exactly_its_write_limit() -> None:
    partition = scaling.Partition()
    moments = [place / 5000 for place in range(15_000)]  # 5,000 a second for three seconds
    taken = sum(partition.take(1, moment) for moment in moments)
    assert scaling.PARTITION_UNITS * 3 <= taken <= scaling.PARTITION_UNITS * 4  # and the unused capacity from the start


def test_below_its_ceiling_no_request_of_an_account_is_refused() -> None:
    ceiling = scaling.account_ceilings(4.0)["grant (one item)"]
    run = scaling.hot_account(0.9 * ceiling, 4.0, seconds=20)
    assert run.refused == 0 and run.asked > 0


def test_above_the_ceiling_refusals_grow_with_the_load() -> None:
    shares = [scaling.hot_account(rate, 4.0, seconds=20).refused_share for rate in (400, 600, 900)]
    assert 0 < shares[0] < shares[1] < shares[2] < 1


def test_the_simulation_is_the_same_each_time() -> None:
    assert scaling.hot_account(400, 4.0, seconds=5) == scaling.hot_account(400, 4.0, seconds=5)
    assert scaling.spread(200, 1000, 4, seconds=3) == scaling.spread(200, 1000, 4, seconds=3)


def test_more_partitions_refuse_less_of_the_same_load() -> None:
    one, four = (scaling.spread(1000, 10_000, count, seconds=4) for count in (1, 4))
    assert one.hottest_units == pytest.approx(2000, rel=0.1)  # two writes a request
    assert one.hottest_units / 4 <= four.hottest_units < one.hottest_units
    assert one.throttled_share > four.throttled_share


def test_concurrent_runs_follow_littles_law() -> None:
    assert scaling.environments(100, 9.7) == pytest.approx(970)
