"""`sluice docs seed FOLDER|FILE --user USER`: put documents into a vector store. Can be repeated."""

import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.commands.operator import account_of, now_ms, store

if TYPE_CHECKING:
    from sluice.services.documents.seed import Seeding

POLL_SECONDS = 0.25


command = click.Group("docs", help="Put documents into an account's vector store.")


@command.command("seed")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--user", required=True, help="The account: id or address.")
@click.option(
    "--store", "store_name", help="Name or id (vs_…) of the vector store; default: the one that the web pages show."
)
@click.option("--wait/--no-wait", default=True, help="Wait until all files are indexed (needs `sluice up`).")
def seed(source: Path, user: str, store_name: str | None, wait: bool) -> None:
    """Upload a FILE, or all files of a FOLDER, and put them into a vector store.

    Can be repeated: unchanged files are skipped, changed files are replaced.
    Exit status: 0 all files are indexed, 1 some could not be read (each is named), 2 the store does not answer.
    """
    with store():
        account_id = account_of(user).account_id
        seeding = _seeding(account_id, _store_of(account_id, store_name))
        for name, path in _progress(list(_files(source)), "put"):
            seeding.add(name, path.read_bytes(), now_ms())
        if wait:
            _wait(seeding)
        failed = list(seeding.failed())
        replaced = seeding.retire()
        new = len(seeding.put) - seeding.unchanged
        click.echo(
            f"{len(seeding.put)} files in vector store {seeding.store_id}: {new} new, {replaced} of them replace older "
            f"ones, {seeding.unchanged} unchanged, {len(failed)} could not be read"
        )
    for file, why in failed:
        click.echo(f"  {file.filename}: {why}", err=True)
    sys.exit(1 if failed else 0)


def _seeding(account_id: str, store_id: str) -> "Seeding":
    from sluice.services.documents.seed import Seeding
    from sluice.wiring import documents

    return Seeding(documents.files(), documents.vector_stores(), account_id, store_id)


def _store_of(account_id: str, wanted: str | None) -> str:
    """The store with this id or name, created if there is none of this name. None: the one the web pages show."""
    from sluice.services.documents.my_documents import MyDocuments
    from sluice.wiring import documents

    existing = documents.vector_stores()
    if wanted is None:
        return MyDocuments(documents.files(), existing).own(account_id, now_ms()).store_id
    if wanted.startswith("vs_"):
        return existing.get(account_id, wanted).store_id
    named = [one.store_id for one in existing.all(account_id) if one.name == wanted]
    return named[0] if named else existing.create(account_id, wanted, {}, now_ms()).store_id


def _files(source: Path) -> Iterator[tuple[str, Path]]:
    """Names and paths, without hidden files and links. The name of a file in a subfolder includes the folder's."""
    if source.is_file():
        yield source.name, source
        return
    for path in sorted(source.rglob("*")):
        parts = path.relative_to(source).parts
        if path.is_file() and not path.is_symlink() and not any(part.startswith(".") for part in parts):
            yield " - ".join(parts), path


def _progress(items: list[tuple[str, Path]], what: str) -> Iterable[tuple[str, Path]]:
    from tqdm import tqdm

    return tqdm(items, desc=what, unit="file", disable=None)  # no bar unless it is a terminal


def _wait(seeding: "Seeding") -> None:
    from tqdm import tqdm

    with tqdm(total=len(seeding.put), desc="index", unit="file", disable=None) as bar:
        while waiting := seeding.waiting():
            bar.update(len(seeding.put) - waiting - bar.n)
            time.sleep(POLL_SECONDS)
        bar.update(len(seeding.put) - bar.n)
