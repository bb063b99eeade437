"""What a grant's item keeps of a lease is what the sweeper settles."""

from dataclasses import replace

import pytest

from sluice.adapters.gateway.grant_item import ENDPOINT_LETTERS, lease_attribute, lease_from
from sluice.domain.gateway.leases import Lease
from sluice.domain.usage.pricing import Prices


@pytest.mark.parametrize("endpoint", ENDPOINT_LETTERS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_lease_is_read_as_it_was_written(endpoint: str, stream: bool) -> None:
    for token_id in ("tok_abc", "playground"):
        lease = Lease(1_800_000_030_000, 120, 7_000_000, 202701, token_id, "demo", endpoint, stream, 19, 4)
        assert lease_from(lease_attribute(lease)) == lease


def test_each_endpoint_has_a_letter_of_its_own() -> None:
    assert len(set(ENDPOINT_LETTERS.values())) == len(ENDPOINT_LETTERS)
    assert all(len(letter) == 1 for letter in ENDPOINT_LETTERS.values())


def test_a_lease_of_an_endpoint_that_only_a_newer_version_knows_is_read() -> None:
    """While both run, else each request of the account would fail in the older one."""
    lease = Lease(1_800_000_030_000, 120, 7_000_000, 202701, "tok_abc", "demo", "files", True)
    written = lease_attribute(lease)
    written["M"]["x"] = {"S": "?s"}
    assert lease_from(written) == replace(lease, endpoint="?")


@pytest.mark.parametrize("cached_micro_usd", [None, 0, 7])
def test_cached_tokens_that_are_free_stay_free_until_the_settlement(cached_micro_usd: int | None) -> None:
    """Without a price of their own they would cost what any prompt token does."""
    prices = Prices(100, 200, cached_micro_usd)
    lease = Lease(1_800_000_030_000, 120, 7_000_000, 202701, "tok_abc", "demo", "completions", True, prices=prices)
    assert lease_from(lease_attribute(lease)) == lease
