"""Which models this process serves, and what each can do and needs: all that is known before one is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from functions.inference.errors import ModelFileError
from functions.inference.models.catalogue import Capability, CatalogueModel, resolve
from functions.inference.models.gguf_header import GgufHeader, read_header
from functions.inference.models.memory import fit, spent_bytes, why_too_large
from functions.inference.models.s3_model import bring, is_s3
from functions.inference.settings import InferenceSettings, names_in


@dataclass(frozen=True, eq=False)
class Served:
    """One model. `entry.capabilities` are what the file allows of them."""

    given: str
    """As the settings name it: a name or a path."""
    entry: CatalogueModel
    path: Path = Path()
    header: GgufHeader | None = field(default=None, repr=False)
    context_tokens: int = 0
    weights_bytes: int = 0
    context_bytes: int = 0
    created_s: int = 0
    pinned: bool = False
    fault: str = ""
    """Why it can never be loaded, as a sentence."""

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def embeds(self) -> bool:
        """Whether it makes vectors, and no text."""
        return "embeddings" in self.entry.capabilities


def served_models(settings: InferenceSettings, budget_bytes: int | None) -> list[Served]:
    """Those of the settings, pinned ones first, and their embeddings models. One of several that cannot be loaded has a
    `fault`. Raises ModelFileError: nothing can be served, a single model is faulty, or the names contradict."""
    names, pinned = settings.model_names, names_in(settings.pinned)
    if unknown := [name for name in pinned if name not in names]:
        raise ModelFileError(f"SLUICE_INFERENCE_PINNED names {unknown[0]}, which is not among the models to serve.")
    found = [looked_at(name, settings, pinned=name in pinned) for name in names]
    if not settings.models and not found[0].fault and found[0].embeds:
        found = [replace(found[0], fault=f"The model {found[0].name} does not generate text: choose another.")]
    found += _their_embeddings(found, settings)
    names_found = [model.name for model in found]
    if twice := next((name for name in names_found if names_found.count(name) > 1), None):
        raise ModelFileError(f"Two models are named {twice}: rename one of the files.")
    found = _too_large_marked(sorted(found, key=lambda model: not model.pinned), budget_bytes)
    faulty = [model.fault for model in found if model.fault]
    if faulty and (not settings.models or len(faulty) == len(found)):
        raise ModelFileError(faulty[0])
    return found


def _their_embeddings(chat: Sequence[Served], settings: InferenceSettings) -> list[Served]:
    chosen = settings.embeddings_model
    names = [model.entry.embeddings_model for model in chat] if chosen == "auto" else [chosen]
    wanted = dict.fromkeys(name for name in names if name and name != "off")
    known = {name for model in chat for name in (model.name, model.given)}
    return [looked_at(name, settings, embeds=True) for name in wanted if name not in known]


def looked_at(given: str, settings: InferenceSettings, *, pinned: bool = False, embeds: bool = False) -> Served:
    """What is known of one model. `embeds`: it is wanted for embeddings, whatever it is made for."""
    model = Served(given, CatalogueModel.model_construct(name=given, capabilities=()), pinned=pinned)
    try:
        local = str(bring(given, settings.model_sha256, settings.models_dir)) if is_s3(given) else given
        entry, path = resolve(local, settings.models_dir)
        model = replace(model, entry=entry, path=path)
        header = read_header(path)
        capabilities = ("embeddings",) if embeds else capabilities_of(entry, header)
    except ModelFileError as error:
        return replace(model, fault=str(error))
    context_tokens, stat = header.context_within(settings.context_tokens), path.stat()
    sequences = 1 if "embeddings" in capabilities else settings.slots
    return replace(
        model,
        entry=entry.model_copy(update={"capabilities": capabilities}),
        header=header,
        context_tokens=context_tokens,
        weights_bytes=stat.st_size,
        context_bytes=sequences * context_tokens * header.token_bytes,
        created_s=int(stat.st_mtime),
    )


def capabilities_of(entry: CatalogueModel, header: GgufHeader) -> tuple[Capability, ...]:
    """What the catalogue says and the file allows. Raises ModelFileError if that contradicts."""
    if "embeddings" in entry.capabilities:
        return entry.capabilities
    if header.use == "rerank":
        raise ModelFileError(f"The model {entry.name} is a reranker: it generates no text and makes no embeddings.")
    return entry.capabilities if header.use == "chat" else (header.use,)


def _too_large_marked(found: Sequence[Served], budget_bytes: int | None) -> list[Served]:
    """Pinned ones come first and stay, so each must fit beside those before it; any other beside all pinned ones."""
    marked: list[Served] = []
    for model in found:
        staying = [one for one in marked if one.pinned and not one.fault]
        if not model.fault and budget_bytes is not None and not fit([*staying, model], budget_bytes):
            room_bytes = budget_bytes - spent_bytes(staying)
            model = replace(model, fault=why_too_large(model.name, spent_bytes([model]), room_bytes))
        marked.append(model)
    return marked
