"""What a grant's item keeps of a lease is what the sweeper settles."""

from dataclasses import replace

import pytest

from sluice.adapters.gateway.grant_item import ENDPOINT_LETTERS, lease_attribute, lease_from
from sluice.domain.gateway.leases import Lease


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
