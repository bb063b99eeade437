"""`sluice model list`: the catalogue and what else was pulled."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from functions.inference.errors import ModelFileError
from functions.inference.models.catalogue import CatalogueModel, catalogue, name_of
from functions.inference.models.gguf_header import read_header

State = Literal["bundled", "pulled", "not pulled", "damaged"]


@dataclass(frozen=True)
class ListedModel:
    """One line. What is not known is empty or None; facts of a file that is here are the file's own."""

    name: str
    state: State
    size_bytes: int | None
    license: str
    description: str
    path: Path
    family: str
    quantisation: str
    context_tokens: int | None
    use: str
    """`chat`, `completions` (there is no chat template), `embeddings`, `rerank`; empty when the file is damaged."""


def list_models(models_dir: Path, known: Mapping[str, CatalogueModel] | None = None) -> list[ListedModel]:
    """Every model of the catalogue in its order, then the others of the models' folder."""
    entries = list((known or catalogue()).values())
    expected = {entry.path(models_dir) for entry in entries}
    others = [path for path in sorted(models_dir.glob("*.gguf")) if path not in expected]
    return [_listed(entry, entry.path(models_dir)) for entry in entries] + [
        _listed(CatalogueModel(name=name_of(path)), path) for path in others
    ]


def _listed(entry: CatalogueModel, path: Path) -> ListedModel:
    state: State = "bundled" if entry.bundled else "pulled" if path.is_file() else "not pulled"
    known = ListedModel(
        entry.name, state, entry.size_bytes, entry.license, entry.description, path, entry.family,
        "", entry.context_tokens, entry.capabilities[0],
    )  # fmt: skip
    return known if state == "not pulled" else _as_the_file_says(known)


def _as_the_file_says(model: ListedModel) -> ListedModel:
    size = model.path.stat().st_size
    try:
        header = read_header(model.path)
    except ModelFileError:
        return replace(model, state="damaged", size_bytes=size, use="")
    return replace(
        model,
        size_bytes=size,
        license=model.license or header.license,
        family=model.family or header.architecture,
        quantisation=header.quantisation,
        context_tokens=header.context_tokens,
        use="embeddings" if model.use == "embeddings" else header.use,
    )
