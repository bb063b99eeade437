"""What the cosine of a question and a passage means: it differs between embedding models, and between vector stores.

Texts that have nothing to do with each other are not at 0: for one model they are near 0.1, for another near 0.8. So a
store measures its own unrelated passages, and scores and floors count from there (docs/adr/0115). Pure functions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

from sluice.domain.documents.vectors import cosine

USUAL_FLOOR = 0.3
USUAL_UNRELATED = 0.1
"""Of a model that states none."""
LEAD = 0.22
"""How far the best passage must lead, of the way from the floor to 1, to answer in strict mode (docs/adr/0115)."""
SAMPLE = 40
LEAST_PAIRS = 100


@dataclass(frozen=True)
class EmbeddingModel:
    """`version`: of the model's content, "" where its server states none; vectors of two versions are not compared.
    `floor`: the cosine under which a passage is probably not about the question, where unrelated passages have
    `unrelated`. `context_tokens`: the longest input; None: not known."""

    name: str
    version: str = ""
    floor: float | None = None
    unrelated: float | None = None
    context_tokens: int | None = None

    @property
    def id(self) -> str:
        return f"{self.name}@{self.version}" if self.version else self.name


@dataclass(frozen=True)
class Asked:
    """The vector of a question, and the model that made it."""

    vector: bytes
    model: EmbeddingModel


@dataclass(frozen=True)
class Scale:
    """`unrelated`: the usual cosine of texts that have nothing to do with each other. `floor`: see EmbeddingModel."""

    unrelated: float
    floor: float

    def score(self, near: float) -> float:
        """A cosine as 0 (unrelated) to 1 (the same)."""
        return min(max((near - self.unrelated) / (1 - self.unrelated), 0.0), 1.0)

    def leads(self, best: float, next_best: float | None) -> bool:
        """Whether a passage stands out enough to hold an answer. `next_best`: None if there is no other passage."""
        other = self.floor if next_best is None else next_best
        return best >= self.floor and best - other >= LEAD * (1 - self.floor)

    def alike(self, near: float) -> bool:
        """Whether two passages of this cosine say nearly the same, such as two versions of one."""
        return near > (1 + self.floor) / 2 + (1 - self.floor) / 10


def scale_of(model: EmbeddingModel, measured: float | None, chosen_floor: float | None) -> Scale:
    """`measured`: the store's own `unrelated`, None if it has too few passages. `chosen_floor`: the owner's."""
    usual = USUAL_UNRELATED if model.unrelated is None else model.unrelated
    floor = USUAL_FLOOR if model.floor is None else model.floor
    unrelated = usual if measured is None else measured
    moved = unrelated + (floor - usual) / (1 - usual) * (1 - unrelated)
    return Scale(unrelated, moved if chosen_floor is None else chosen_floor)


def unrelated_cosine(passages: Sequence[tuple[str, Sequence[float]]]) -> float | None:
    """The median cosine of passages of different files, (file id, vector) each; None if there are too few."""
    found = [cosine(one, other) for (file, one), (its, other) in combinations(passages, 2) if file != its]
    return min(max(median(found), 0.0), 0.95) if len(found) >= LEAST_PAIRS else None
