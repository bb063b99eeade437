"""Settings as the store keeps them: one item a version, of which the newest good one is in force."""

from __future__ import annotations  # where no settings are stored, their form is never imported

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sluice.domain.errors import ValidationFailed
from sluice.domain.settings.terms import NO_TERMS, Terms, terms_of

if TYPE_CHECKING:
    from sluice.domain.settings.owners import OwnersSettings

MAX_DOCUMENT_BYTES = 65_536
NAMED_BY = {"sign_in": "name", "upstreams": "name", "models": "id", "plans": "name"}


@dataclass(frozen=True)
class StoredSettings:
    """`document`: JSON. `actor`: an account id, or `operator`. `applied`: the hash of the file that was applied last,
    with this version or an earlier one. `edited`: whether something else than a file made this version."""

    version: int
    document: str
    created_ms: int
    actor: str
    applied: str = ""
    edited: bool = False


@dataclass(frozen=True)
class InForce:
    """`version`, `applied`, `edited`: the newest item's; 0 and empty without one. `settings`: of the newest good item,
    whose number is `good_version`; None without one. `problem`: why the newest item is not in force, or empty."""

    version: int = 0
    good_version: int = 0
    settings: OwnersSettings | None = None
    problem: str = ""
    applied: str = ""
    edited: bool = False

    @cached_property
    def terms(self) -> Terms:
        """Of the settings in force."""
        if self.settings is None:
            return replace(NO_TERMS, newest=self.version)
        return terms_of(self.good_version, self.version, self.settings)

    def or_empty(self) -> OwnersSettings:
        from sluice.domain.settings.owners import OwnersSettings

        return self.settings or OwnersSettings()

    def after(self, known: InForce) -> InForce:
        """What is in force for a process that knew `known`: never an older version, whatever is read from the store."""
        if self.version < known.version:
            return known
        if self.problem and self.good_version < known.good_version:
            return replace(self, good_version=known.good_version, settings=known.settings)
        return self


def in_force(newest_first: Sequence[StoredSettings]) -> InForce:
    """The newest version that is right. A wrong one was written by hand, or by a later version of Sluice."""
    if not newest_first:
        return InForce()
    newest, problem = newest_first[0], ""
    about = InForce(newest.version, applied=newest.applied, edited=newest.edited)
    for stored in newest_first:
        try:
            settings = settings_of(stored.document)
        except ValueError as exc:
            problem = problem or f"Version {stored.version} of the settings is broken: {exc}"
            continue
        return replace(about, good_version=stored.version, settings=settings, problem=problem)
    return replace(about, problem=problem)


def settings_of(document: str) -> OwnersSettings:
    """Errors: ValueError."""
    from sluice.domain.settings.checking import WrongSettings, check

    try:
        return check(json.loads(document))
    except (WrongSettings, RecursionError, TypeError) as exc:
        raise ValueError(str(exc)) from exc


def document_of(settings: OwnersSettings) -> str:
    """Errors: ValidationFailed when it is too long to be stored with its audit event."""
    document = settings.model_dump_json(exclude_defaults=True)
    if len(document.encode()) > MAX_DOCUMENT_BYTES:
        raise ValidationFailed(message=f"The settings are longer than {MAX_DOCUMENT_BYTES:,} bytes of JSON.")
    return document


def differences(before: OwnersSettings, after: OwnersSettings) -> dict[str, tuple[str, str]]:
    """By table (`site`, `plans.free`): its changed keys before and after, on one line; `-` without the table."""
    was, now = dict(_tables(before)), dict(_tables(after))
    found: dict[str, tuple[str, str]] = {}
    for name in [*was, *(name for name in now if name not in was)]:
        old, new = was.get(name, {}), now.get(name, {})
        keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        if keys:
            found[name] = (_line(old, keys), _line(new, keys))
    return found


def _tables(settings: OwnersSettings) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each table's name and the keys that say something."""
    whole = settings.model_dump()
    named = [("site", whole["site"])]
    named += [(f"{table}.{one[key]}", one) for table, key in NAMED_BY.items() for one in whole[table]]
    for name, table in named:
        yield name, {key: value for key, value in table.items() if value is not None and value != []}


def _line(table: Mapping[str, Any], keys: Sequence[str]) -> str:
    said = (f"{key} = {json.dumps(table[key], ensure_ascii=False)}" for key in keys if key in table)
    return ", ".join(said) or "-"
