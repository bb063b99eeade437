"""The version of the embedded store, beside it as a file: readable before anything is started that could write to it.

The record in the store itself is what counts (`infra.migrations.record`); this file only lets a newer store be refused
before the first process of an older version opens it.
"""

from pathlib import Path

from infra.local.errors import LaunchError

FILE = "store.schema"


def refuse_newer(data_dir: Path) -> None:
    """Raises LaunchError. A file that is absent or says nothing readable is no reason: the record will be asked."""
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
