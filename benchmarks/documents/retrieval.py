"""How well the fixed set is searched, by words and by meaning, and what strict mode refuses (docs/adr/0115).

    python -m benchmarks.documents.retrieval                     # all-MiniLM-L6-v2, which comes with Sluice
    python -m benchmarks.documents.retrieval --model e5.gguf --floor 0.8 --unrelated 0.79 \\
        --query-prefix 'query: ' --passage-prefix 'passage: '
    python -m benchmarks.documents.retrieval --judge chat.gguf   # and asks a chat model whether a passage answers

The search is the product's own. Of 90 questions with an answer, 40 paraphrases that share no content word with their
passage, and 30 questions that no document answers.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from functions.inference.llama.embedder import Embedder
from functions.inference.llama.runtime import LoadOptions, load_model, start_library
from functions.inference.models.catalogue import DEFAULT_EMBEDDING_MODEL, CatalogueModel, catalogue
from sluice.adapters.documents.parsing import markdown
from sluice.adapters.documents.search.folder import FolderIndexes
from sluice.domain.documents import nearness
from sluice.domain.documents.document import Passage
from sluice.domain.documents.nearness import Asked, EmbeddingModel
from sluice.domain.documents.passages import TARGET_TOKENS, Block, Measure, chunks_of
from sluice.domain.documents.vectors import Vectors, packed
from sluice.ports.documents import PassageQuery

SET = Path(__file__).parents[2] / "tests" / "data" / "documents"
ACCOUNT, STORE = "usr_set", "vs_set"
SECONDS = 600.0
LEADS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.22, 0.25, 0.3, 0.4)
SHARES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
Row = dict[str, str]


def questions(name: str) -> list[Row]:
    found: list[Row] = json.loads((SET / name).read_text())
    return found


ANSWERED = [one for one in questions("questions.json") if "file" in one]
UNANSWERED = [one for one in questions("questions.json") if "file" not in one]
PARAPHRASES = questions("paraphrases.json")


def is_right(passage: Passage, question: Row) -> bool:
    return passage.filename == question["file"] and question["answer"] in passage.text


@dataclass(frozen=True)
class Found:
    """Of many questions: the share whose passage is among the first five, and the mean of 1 / its rank there."""

    recall: float
    rank: float

    def __str__(self) -> str:
        return f"{self.recall:.3f} / {self.rank:.3f}"


class Library:
    """The set in one vector store. `entry`: None searches by words only."""

    def __init__(self, folder: Path, path: Path | None = None, entry: CatalogueModel | None = None) -> None:
        self._indexes, self._embedder, self._entry = FolderIndexes(folder), None, entry
        if path and entry:
            start_library()
            self._embedder = Embedder(load_model(path, LoadOptions()), context_tokens=512, threads=1, queue_places=4)
            self.model = EmbeddingModel(entry.name, "1", entry.floor, entry.unrelated, 512)
        self._near = cache(self._asked)
        for file in sorted((SET / "files").iterdir()):
            self._index(file)

    @property
    def measure(self) -> Measure:
        assert self._embedder is not None
        embedder = self._embedder
        return Measure(lambda texts: [len(embedder.tokenize(text)) for text in texts], TARGET_TOKENS)

    def _index(self, file: Path) -> None:
        blocks = [Block(*block) for block in markdown.read(file.read_bytes())]
        if self._embedder is None or self._entry is None:
            self._indexes.replace(ACCOUNT, STORE, file.name, file.name, list(chunks_of(blocks)))
            return
        chunks = list(chunks_of(blocks, self.measure))
        whole = [f"{one.title}\n{one.text}" if one.title else one.text for one in chunks]
        vectors = Vectors(self.model.id, list(self.vectors(whole, self._entry.passage_prefix)))
        self._indexes.replace(ACCOUNT, STORE, file.name, file.name, chunks, vectors)

    def vectors(self, texts: Sequence[str], prefix: str) -> Iterator[bytes]:
        assert self._embedder is not None
        inputs = [self._embedder.tokenize(prefix + text, frame=True) for text in texts]
        return (packed(vector.tolist()) for vector in self._embedder.embed(inputs, SECONDS))

    def _asked(self, question: str) -> Asked | None:
        if self._embedder is None or self._entry is None:
            return None
        return Asked(next(self.vectors([question], self._entry.query_prefix)), self.model)

    def find(self, question: str, **more: Any) -> list[Passage]:
        return self._indexes.find(ACCOUNT, STORE, PassageQuery(question, 5, self._near(question), **more))

    def found(self, asked: Sequence[Row], **more: Any) -> Found:
        ranks = [
            next((place for place, one in enumerate(self.find(row["question"], **more), 1) if is_right(one, row)), 0)
            for row in asked
        ]
        return Found(sum(map(bool, ranks)) / len(asked), sum(1 / rank for rank in ranks if rank) / len(asked))

    def refused(self, **more: Any) -> int:
        """Unanswerable questions for which nothing is found."""
        return sum(not self.find(row["question"], **more) for row in UNANSWERED)

    def close(self) -> None:
        if self._embedder is not None:
            self._embedder.close()


def curve(library: Library) -> Iterator[tuple[float, Found, Found, int]]:
    """The lead that strict mode asks for; fixed set, paraphrases, refused."""
    chosen = nearness.LEAD
    try:
        for lead in LEADS:
            nearness.LEAD = lead
            strict = {"strict": True}
            yield (
                lead,
                library.found(ANSWERED, **strict),
                library.found(PARAPHRASES, **strict),
                library.refused(**strict),
            )
    finally:
        nearness.LEAD = chosen


class Judge:
    """A chat model asked whether a passage answers a question: the share of yes against no as its next word."""

    def __init__(self, path: Path) -> None:
        from llama_cpp import Llama

        self._model = Llama(str(path), n_ctx=1024, verbose=False)
        self._yes, self._no = (self._model.tokenize(word, add_bos=False)[0] for word in (b" yes", b" no"))
        self.share = cache(self._share)

    def _share(self, question: str, text: str) -> float:
        prompt = f"Passage: {text}\nQuestion: {question}\nDoes the passage answer the question, yes or no? Answer:"
        self._model.reset()
        self._model.eval(self._model.tokenize(prompt.encode())[-1000:])
        scores = self._model.scores[self._model.n_tokens - 1]
        return float(1 / (1 + 2.718281828 ** (scores[self._no] - scores[self._yes])))


def judged(library: Library, judge: Judge) -> Iterator[tuple[float, float, float, int]]:
    """The least share of yes for the best passage; recall on the fixed set and the paraphrases; refused."""
    for least in SHARES:

        def hits(question: str, least: float = least) -> list[Passage]:
            found = library.find(question)
            return found if found and judge.share(question, found[0].text) >= least else []

        def recall(asked: Sequence[Row], hits: Callable[[str], list[Passage]] = hits) -> float:
            return sum(any(is_right(one, row) for one in hits(row["question"])) for row in asked) / len(asked)

        yield least, recall(ANSWERED), recall(PARAPHRASES), sum(not hits(row["question"]) for row in UNANSWERED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    entry = catalogue()[DEFAULT_EMBEDDING_MODEL]
    parser.add_argument("--model", type=Path, default=entry.path(Path()))
    parser.add_argument("--floor", type=float, default=entry.floor)
    parser.add_argument("--unrelated", type=float, default=entry.unrelated)
    parser.add_argument("--query-prefix", default="")
    parser.add_argument("--passage-prefix", default="")
    parser.add_argument("--judge", type=Path, help="a chat model's GGUF file")
    wanted = parser.parse_args()
    named = {"query_prefix": wanted.query_prefix, "passage_prefix": wanted.passage_prefix}
    entry = entry.model_copy(update={"floor": wanted.floor, "unrelated": wanted.unrelated, **named})
    with tempfile.TemporaryDirectory() as words_folder, tempfile.TemporaryDirectory() as folder:
        words, both = Library(Path(words_folder)), Library(Path(folder), wanted.model, entry)
        print("recall@5 / mean reciprocal rank      fixed set       paraphrases     unanswerable refused, of 30")
        for name, library, more in (
            ("words, plain search", words, {"floored": False}),
            ("words, floored", words, {}),
            ("with vectors, plain search", both, {"floored": False}),
            ("with vectors, floored", both, {}),
            ("with vectors, strict", both, {"strict": True}),
        ):
            fixed, other = library.found(ANSWERED, **more), library.found(PARAPHRASES, **more)
            print(f"{name:36} {fixed}   {other}   {library.refused(**more)}")
        print("\nstrict, by the lead asked for: recall@5 fixed set, paraphrases, refused")
        for lead, fixed, other, refused in curve(both):
            print(f"{lead:5.2f}   {fixed.recall:.3f}   {other.recall:.3f}   {refused}")
        if wanted.judge:
            print("\nfloored, then a chat model on the best passage: share of yes, recall@5 of both, refused")
            for least, fixed_recall, other_recall, refused in judged(both, Judge(wanted.judge)):
                print(f"{least:5.2f}   {fixed_recall:.3f}   {other_recall:.3f}   {refused}")
        both.close()


if __name__ == "__main__":
    main()
