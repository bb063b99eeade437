"""Vectors as bytes, and which vectors a search compares."""

import random
from pathlib import Path

import pytest

from sluice.adapters.documents.search import calibration, meaning, writing
from sluice.adapters.documents.search.database import opened
from sluice.adapters.documents.search.found import passages
from sluice.domain.documents.nearness import Asked, EmbeddingModel, Scale, scale_of
from sluice.domain.documents.passages import Chunk
from sluice.domain.documents.vectors import Vectors, cosine, packed, signs, unpacked
from sluice.ports.documents import PassageQuery

SCALE = Scale(unrelated=0.1, floor=0.3)


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
        writing.replace(connection, "file_1", "a.txt", chunks, Vectors("one@1", [packed(one) for one in made]))
        writing.replace(connection, "file_2", "b.txt", [Chunk("", "other")], Vectors("one@2", [packed(made[0])]))
        for number in (0, 17, 2_999):
            near = packed([value + dice.gauss(0, 0.2) for value in made[number]])
            found = meaning.nearest(connection, Asked(near, EmbeddingModel("one", "1")), SCALE).found
            assert meaning.hit_at(connection, found[0][1]).position == number
            assert meaning.hit_at(connection, found[0][1]).file_id == "file_1"
        assert len(meaning.nearest(connection, Asked(packed(made[0]), EmbeddingModel("one", "2")), SCALE).found) == 1
        assert meaning.nearest(connection, Asked(packed([-1.0] * 32), EmbeddingModel("one", "1")), SCALE).found == []


def filled(path: Path, *, apart: float) -> float | None:
    """What a store of files measures whose vectors all have a part in common; the smaller `apart`, the larger."""
    dice = random.Random(5)
    with opened(path, shared=True) as connection:
        for number in range(30):
            vector = packed([1.0, *(apart * dice.gauss(0, 1) for _ in range(30))])
            writing.replace(connection, f"file_{number}", "a.txt", [Chunk("", "x")], Vectors("m", [vector]))
        return calibration.measured_unrelated(connection, "m")


def test_a_store_measures_what_its_unrelated_passages_have_in_common(tmp_path: Path) -> None:
    far, close = filled(tmp_path / "far.db", apart=1.0), filled(tmp_path / "close.db", apart=0.1)
    assert far is not None and close is not None and far < 0.2 and close > 0.6
    model = EmbeddingModel("m", floor=0.3, unrelated=0.1)
    assert scale_of(model, far, None).floor < 0.4 < 0.7 < scale_of(model, close, None).floor
    assert scale_of(model, close, 0.25).floor == 0.25, "the owner's word counts"
    assert scale_of(model, None, None).floor == pytest.approx(0.3), "too few passages: as the model says"


def test_too_few_passages_measure_nothing_and_neither_do_those_of_one_file(tmp_path: Path) -> None:
    with opened(tmp_path / "a.db", shared=True) as connection:
        vectors = Vectors("m", [packed([1.0, float(number)]) for number in range(60)])
        writing.replace(connection, "file_1", "a.txt", [Chunk("", "x")] * 60, vectors)
        assert calibration.measured_unrelated(connection, "m") is None
        assert calibration.measured_unrelated(connection, "another") is None


def test_a_passage_leads_if_it_is_near_and_others_are_not() -> None:
    assert SCALE.leads(0.5, 0.3) and not SCALE.leads(0.5, 0.4), "another passage is nearly as near"
    assert not SCALE.leads(0.29, -1.0), "under the floor"
    assert SCALE.leads(0.5, None) and not SCALE.leads(0.4, None), "the only passage is compared with the floor"
    assert (SCALE.score(0.1), SCALE.score(1.0), SCALE.score(-0.5)) == (0.0, 1.0, 0.0)


def test_what_both_searches_find_comes_first_and_a_score_is_at_most_one(tmp_path: Path) -> None:
    with opened(tmp_path / "a.db", shared=True) as connection:
        texts = {"both": ("red lamp", [1.0, 0.5]), "words": ("red lamp", [-1.0, 0.2]), "near": ("beacon", [1.0, 0.4])}
        for name, (text, numbers) in texts.items():
            writing.replace(connection, name, "", [Chunk("", text)], Vectors("m", [packed(numbers)]))
        writing.replace(connection, "some", "", [Chunk("", "a red thing of no vector")])
        asked = Asked(packed([1.0, 0.5]), EmbeddingModel("m", floor=0.5, unrelated=0.1))
        floored = passages(connection, "vs_1", PassageQuery("red lamp", 5, asked), None)
        assert floored[0].file_id == "both"
        assert {one.file_id for one in floored} == {"both", "words", "near"}
        every = passages(connection, "vs_1", PassageQuery("red lamp", 5, asked, floored=False), None)
        assert [one.file_id for one in every][-1] == "some" and len(every) == 4
        assert sorted((one.score for one in every), reverse=True) == [one.score for one in every]
        assert all(0 <= one.score <= 1 for one in every)
