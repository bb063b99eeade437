"""Where a model file comes from. Each source completes a part file, and goes on with what an earlier call left."""

import urllib.parse
from pathlib import Path
from typing import Protocol

from functions.inference.models.catalogue import CatalogueModel
from infra.download import CHUNK_BYTES, DownloadError, Progress, fetch, require_disk
from infra.models.bucket import signed_url
from infra.models.wheels import WheelSource


class Source(Protocol):
    """One kind of place."""

    def terms(self) -> str | None:
        """The licence's text, if the source has it. Errors: DownloadError."""
        ...

    def complete(self, part: Path, progress: Progress) -> None:
        """Make `part` the whole file. Errors: DownloadError."""
        ...

    def clear(self, part: Path) -> None:
        """Remove what `complete` needed beside `part`."""
        ...


class UrlSource:
    """http and https."""

    def __init__(self, url: str) -> None:
        self._url = url

    def terms(self) -> str | None:
        return None

    def complete(self, part: Path, progress: Progress) -> None:
        fetch(self._url, part, progress)

    def clear(self, part: Path) -> None:
        part.with_name(part.name + ".etag").unlink(missing_ok=True)


class S3Source(UrlSource):
    """An object of S3, over an address that the caller's own credentials sign."""

    def complete(self, part: Path, progress: Progress) -> None:
        fetch(signed_url(self._url), part, progress)


class FileSource:
    """A file of this machine, which is copied: its owner may change or remove it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def terms(self) -> str | None:
        return None

    def complete(self, part: Path, progress: Progress) -> None:
        try:
            total = self._path.stat().st_size
            require_disk(part.parent, total)
            with self._path.open("rb") as source, part.open("wb") as target:
                while chunk := source.read(CHUNK_BYTES):
                    target.write(chunk)
                    progress(target.tell(), total)
        except OSError as exc:
            raise DownloadError(f"{self._path} cannot be copied to {part}: {exc.strerror or exc}.") from exc

    def clear(self, part: Path) -> None:
        """Nothing is kept."""


def source_of(entry: CatalogueModel) -> Source:
    """Raises DownloadError for an address of an unknown kind."""
    if entry.wheels is not None:
        return WheelSource(entry.wheels)
    kind = urllib.parse.urlsplit(entry.url or "")
    match kind.scheme:
        case "http" | "https":
            return UrlSource(entry.url or "")
        case "s3":
            return S3Source(entry.url or "")
        case "file":
            return FileSource(Path(urllib.parse.unquote(kind.path)))
    raise DownloadError(f"{entry.url!r} is not an address of the kind https, http, s3 or file.")
