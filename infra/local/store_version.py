"""The embedded store's schema version in a file, which can be read before the store is started.

The record in the store is authoritative (`infra.migrations.record`). This file only makes it possible to refuse a newer
store before a process of an older version opens it.
"""

from pathlib import Path

from infra.local.errors import LaunchError

FILE = "store.schema"


def refuse_newer(data_dir: Path) -> None:
    """Raises LaunchError for a newer version. A missing or unreadable file is ignored; the record is checked later."""
    from infra.migrations.record import NewerStore, Record

    try:
        version = int((data_dir / FILE).read_text())
    except (OSError, ValueError):
        return
    try:
        Record(version).check()
    except NewerStore as exc:
        raise LaunchError(str(exc)) from exc


def note(data_dir: Path) -> None:
    from infra.migrations.steps import CURRENT

    (data_dir / FILE).write_text(f"{CURRENT}\n")
