"""ULIDs: their form, their order, their time."""

import pytest

from sluice.domain import ids

SPEC_S = ("01ARZ3NDEKTSV4RRFFQ69G5FAV", 1469922850259)  # https://github.com/ulid/spec


def test_a_ulid_has_the_time_of_the_specification() -> None:
    text, at_ms = SPEC_S
    assert ids.ulid_time_ms(text) == ids.ulid_time_ms(text.lower()) == at_ms
    assert ids.ulid(at_ms)[:10] == text[:10]


def test_ulids_of_one_millisecond_sort_in_the_order_they_were_made() -> None:
    made = [ids.ulid(1_900_000_000_000) for _ in range(500)]
    assert made == sorted(set(made)) and {len(one) for one in made} == {26}


def test_bounds_enclose_every_id_of_their_millisecond() -> None:
    at_ms = 1_764_400_000_123
    assert ids.request_id_at(at_ms) <= ids.request_id(at_ms) <= ids.request_id_at(at_ms, last=True)
    assert ids.request_id_at(at_ms, last=True) < ids.request_id_at(at_ms + 1)
    assert ids.request_time_ms(ids.request_id(at_ms)) == at_ms


@pytest.mark.parametrize("text", ["", "01ARZ3NDEKTSV4RRFFQ69G5FA", "01ARZ3NDEKTSV4RRFFQ69G5FAU", "0" * 27, "é" * 26])
def test_what_is_no_ulid_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        ids.ulid_time_ms(text)
