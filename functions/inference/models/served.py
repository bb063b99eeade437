"""Which models this process serves, and what each can do and needs: all that is known before one is loaded."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from functions.inference.errors import ModelFileError
from functions.inference.models.catalogue import DEFAULT_EMBEDDING_MODEL, Capability, CatalogueModel, resolve
from functions.inference.models.gguf_header import GgufHeader, read_header
from functions.inference.models.gguf_tensors import KV_TYPES, tensor_bytes
from functions.inference.models.memory import fit, spent_bytes, why_too_large
from functions.inference.models.model_file import expected_sha256, sha256_of
from functions.inference.models.s3_model import bring, is_s3
from functions.inference.settings import InferenceSettings, names_in

VERSION_DIGITS = 16


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
    named: bool = True
    """Whether the owner named it, among those to serve."""
    prefixes: Mapping[str, str] = field(default_factory=dict)
    """Of an embedding model: what it wants before a text, by `input_type`."""
    version: str = ""
    """Of an embedding model: vectors of two versions cannot be compared."""
    fault: str = ""
    """Why it can never be loaded, as a sentence."""

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def embeds(self) -> bool:
        """Whether it makes vectors, and no text."""
        return "embeddings" in self.entry.capabilities

    @property
    def described(self) -> dict[str, Any]:
        """What its row in the list of models says beside that of others."""
        if not self.embeds or self.header is None:
            return {}
        known = {"version": self.version, "dimensions": self.header.dimensions}
        return {"embedding": known | {"floor": self.entry.floor, "unrelated": self.entry.unrelated}}


def served_models(settings: InferenceSettings, budget_bytes: int | None) -> list[Served]:
    """Those of the settings, pinned ones first, and their embeddings models. One of several that cannot be loaded has a
    `fault`. Raises ModelFileError: nothing can be served, a single model is faulty, or the names contradict."""
    names, pinned = settings.model_names, names_in(settings.pinned)
    if unknown := [name for name in pinned if name not in names]:
        raise ModelFileError(f"SLUICE_INFERENCE_PINNED names {unknown[0]}, which is not among the models to serve.")
    found = [looked_at(name, settings, pinned=name in pinned) for name in names]
    if not settings.models and not found[0].fault and found[0].embeds:
        found = [replace(found[0], fault=_no_text(found[0]))]
    found += _their_embeddings(found, settings)
    names_found = [model.name for model in found if not model.fault]
    if twice := next((name for name in names_found if names_found.count(name) > 1), None):
        raise ModelFileError(f"Two models are named {twice}: rename one of the files.")
    found = _too_large_marked(sorted(found, key=lambda model: not model.pinned), budget_bytes)
    faulty = [model.fault for model in found if model.fault]
    if faulty and (not settings.models or all(model.fault for model in found if model.named)):
        raise ModelFileError(faulty[0])
    return found


def _no_text(model: Served) -> str:
    architecture = model.header.architecture if model.header else ""
    return (
        f"The model {model.name} ({model.path}, architecture {architecture}) makes embeddings and does not generate "
        "text: choose another for SLUICE_MODEL. An embedding model is named by SLUICE_INFERENCE_EMBEDDINGS_MODEL."
    )


def _their_embeddings(found: Sequence[Served], settings: InferenceSettings) -> list[Served]:
    """The embedding model of the settings, unless it is among those found; by default one, if none is."""
    name = settings.embeddings_model
    if name == "off" or (name == "auto" and any(model.embeds for model in found)):
        return []
    name = DEFAULT_EMBEDDING_MODEL if name == "auto" else name
    if any(name in (model.name, model.given) and model.embeds for model in found):
        return []
    model = replace(looked_at(name, settings), named=False)
    if model.fault or model.embeds:
        return [model]
    architecture = model.header.architecture if model.header else ""
    fault = (
        f"The model {model.name} ({model.path}, architecture {architecture}) generates text and makes no embeddings: "
        f"choose another for SLUICE_INFERENCE_EMBEDDINGS_MODEL, such as {DEFAULT_EMBEDDING_MODEL}, or `off`."
    )
    return [replace(model, fault=fault)]


def looked_at(given: str, settings: InferenceSettings, *, pinned: bool = False) -> Served:
    """What is known of one model."""
    model = Served(given, CatalogueModel.model_construct(name=given, capabilities=()), pinned=pinned)
    try:
        local = str(bring(given, settings.model_sha256, settings.models_dir)) if is_s3(given) else given
        entry, path = resolve(local, settings.models_dir)
        model = replace(model, entry=entry, path=path)
        header = read_header(path)
        capabilities = capabilities_of(entry, header)
    except ModelFileError as error:
        return replace(model, fault=str(error))
    context_tokens, stat = header.context_within(settings.context_tokens), path.stat()
    sequences, kv_type = (1, "f16") if "embeddings" in capabilities else (settings.slots, settings.kv_type)
    if "embeddings" in capabilities:
        prefixes, version = _as_embedding(entry, path, settings)
        model = replace(model, prefixes=prefixes, version=version)
    return replace(
        model,
        entry=entry.model_copy(update={"capabilities": capabilities}),
        header=header,
        context_tokens=context_tokens,
        weights_bytes=stat.st_size,
        context_bytes=tensor_bytes(KV_TYPES[kv_type], sequences * context_tokens * header.token_values),
        created_s=int(stat.st_mtime),
    )


def _as_embedding(entry: CatalogueModel, path: Path, settings: InferenceSettings) -> tuple[dict[str, str], str]:
    """The prefixes, and the version: the file's content, and the owner's prefix of passages if it has one."""
    chosen = {"query": settings.query_prefix, "passage": settings.passage_prefix}
    usual = {"query": entry.query_prefix, "passage": entry.passage_prefix}
    prefixes = usual | {kind: prefix for kind, prefix in chosen.items() if prefix is not None}
    version = (expected_sha256(path, entry.sha256) or sha256_of(path))[:VERSION_DIGITS]
    if prefixes != usual and prefixes["passage"]:
        version += "-" + hashlib.sha256(prefixes["passage"].encode()).hexdigest()[:8]
    return prefixes, version


def capabilities_of(entry: CatalogueModel, header: GgufHeader) -> tuple[Capability, ...]:
    """What the catalogue says and the file allows. Raises ModelFileError if that contradicts."""
    if header.use == "rerank":
        raise ModelFileError(f"The model {entry.name} is a reranker: it generates no text and makes no embeddings.")
    if ("embeddings" in entry.capabilities) != (header.use == "embeddings"):
        does = "makes embeddings" if header.use == "embeddings" else "generates text"
        raise ModelFileError(f"The file of the model {entry.name} {does}, and the catalogue says something else.")
    return ("completions",) if header.use == "completions" else entry.capabilities


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
