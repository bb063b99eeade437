"""Vectors as bytes, and which vectors a search compares."""

import random
from pathlib import Path

import pytest

from sluice.adapters.documents.search import meaning, writing
from sluice.adapters.documents.search.database import opened
from sluice.adapters.documents.search.reading import Hit
from sluice.domain.documents.passages import Chunk
from sluice.domain.documents.vectors import cosine, packed, signs, unpacked


def test_a_vector_has_length_one_and_keeps_its_direction() -> None:
    vector = unpacked(packed([3.0, 4.0]))
    assert list(vector) == pytest.approx([0.6, 0.8])
    assert cosine(vector, unpacked(packed([-30.0, -40.0]))) == pytest.approx(-1)


@pytest.mark.parametrize("numbers", [[], [0.0, 0.0], [float("nan")], [float("inf"), 1.0]])
def test_numbers_without_a_direction_are_refused(numbers: list[float]) -> None:
    with pytest.raises(ValueError):
        packed(numbers)


def test_the_signs_of_a_vector_are_one_bit_for_each_number() -> None:
    assert signs(packed([1.0, -1.0, 1.0, 1.0, -1.0, -1.0, -1.0, 1.0, 1.0])) == bytes([0b1, 0b01100011])


def test_the_nearest_is_found_among_many_and_other_models_vectors_are_not_compared(tmp_path: Path) -> None:
    dice = random.Random(3)
    made = [[dice.gauss(0, 1) for _ in range(64)] for _ in range(3_000)]
    with opened(tmp_path / "a.db", shared=True) as connection:
        chunks = [Chunk("", f"passage {number}") for number in range(len(made))]
        writing.replace(connection, "file_1", "a.txt", chunks, [packed(one) for one in made])
        writing.replace(connection, "file_2", "b.txt", [Chunk("", "of another model")], [packed([1.0] * 32)])
        for number in (0, 17, 2_999):
            near = packed([value + dice.gauss(0, 0.2) for value in made[number]])
            (first, *_) = meaning.by_meaning(connection, near, 5, floor=0.5)
            assert (first.file_id, first.position) == ("file_1", number)
        assert meaning.by_meaning(connection, packed([-1.0] * 32), 5, floor=0.5) == []


def test_merging_ranks_first_what_both_searches_found() -> None:
    hits = [Hit(number, f"file_{number}", "", 0, "", "") for number in range(4)]
    found = meaning.merged([hits[0], hits[1]], [hits[2], hits[1]], limit=3)
    assert [hit.chunk_id for hit in found] == [1, 0, 2]
    assert meaning.merged([hits[3]], [hits[3]], limit=5)[0].score == pytest.approx(1)
