"""`sluice model list` and `sluice model pull NAME`, as functions without command-line code."""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from functions.inference.errors import ModelFileError
from functions.inference.models.catalogue import CatalogueModel, catalogue
from functions.inference.models.model_file import check_model_file, expected_sha256, recorded_hash_file, sha256_of
from infra.download import DownloadError, Progress, fetch

State = Literal["bundled", "pulled", "not pulled"]


class PullError(Exception):
    """Why a model could not be downloaded, as a sentence for the terminal."""


@dataclass(frozen=True)
class ListedModel:
    """One line of `sluice model list`."""

    name: str
    state: State
    size_bytes: int | None
    """Of the local file, else from the catalogue, else None."""
    license: str
    description: str
    path: Path


def list_models(models_dir: Path, known: Mapping[str, CatalogueModel] | None = None) -> list[ListedModel]:
    """Every model of the catalogue and its state, in the catalogue's order."""
    return [_listed(entry, models_dir) for entry in (known or catalogue()).values()]


def _listed(entry: CatalogueModel, models_dir: Path) -> ListedModel:
    path = entry.path(models_dir)
    here = path.is_file()
    size = path.stat().st_size if here else entry.size_bytes
    state: State = "bundled" if entry.bundled else "pulled" if here else "not pulled"
    return ListedModel(entry.name, state, size, entry.license, entry.description, path)


def pull(
    name: str,
    models_dir: Path,
    known: Mapping[str, CatalogueModel] | None = None,
    show_progress: bool = True,
) -> Path:
    """Download a model of the catalogue, or resume an interrupted download. Returns the path of the verified file.

    Raises PullError: unknown name, no network, error of the server, full disk, or an unexpected file.
    """
    entries = known or catalogue()
    if name not in entries:
        raise PullError(f"There is no model named {name!r}; the catalogue has {', '.join(sorted(entries))}.")
    entry = entries[name]
    path = entry.path(models_dir)
    if entry.url is None or _is_good(entry, path):
        return path
    # Two calls, because `parents=True` gives the mode to the last folder only, and the data directory is private.
    for folder in (models_dir.parent, models_dir):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with _alone(part, name):
        try:
            with _progress_bar(name, show_progress) as progress:
                fetch(entry.url, part, progress)
        except DownloadError as exc:
            raise PullError(str(exc)) from exc
        return _accept(entry, part, path)


def _accept(entry: CatalogueModel, part: Path, path: Path) -> Path:
    """Verify the download, record its hash and rename it. A wrong file is deleted."""
    try:
        check_model_file(part, sha256=entry.sha256, size_bytes=entry.size_bytes)
    except ModelFileError as exc:
        part.unlink(missing_ok=True)
        raise PullError(f"The file from {entry.url} is not the model {entry.name} and was deleted. {exc}") from exc
    recorded_hash_file(path).write_text(f"{entry.sha256 or sha256_of(part)}  {path.name}\n", "ascii")
    os.replace(part, path)
    part.with_name(part.name + ".etag").unlink(missing_ok=True)
    return path


def _is_good(entry: CatalogueModel, path: Path) -> bool:
    try:
        check_model_file(path, sha256=expected_sha256(path, entry.sha256), size_bytes=entry.size_bytes)
    except ModelFileError:
        return False
    return True


@contextlib.contextmanager
def _alone(part: Path, name: str) -> Iterator[None]:
    """Refuse a second pull of the same model, because both would write to one file."""
    with part.with_name(part.name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise PullError(f"Another `sluice model pull {name}` is running.") from exc
        yield


@contextlib.contextmanager
def _progress_bar(name: str, show: bool) -> Iterator[Progress]:
    with tqdm(desc=name, unit="B", unit_scale=True, unit_divisor=1024, disable=not show) as bar:

        def progress(done_bytes: int, total_bytes: int | None) -> None:
            bar.total = total_bytes
            bar.update(done_bytes - bar.n)

        yield progress
