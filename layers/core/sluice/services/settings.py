"""The owner's settings: which are in force in this process, and how they are changed."""

from __future__ import annotations  # a function that finds no settings does not import their form

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from sluice.domain.accounts.audit import OPERATOR, Action, AuditEvent, new_event
from sluice.domain.errors import Conflict, Forbidden, StoreUnavailable
from sluice.domain.settings.versions import InForce, StoredSettings, differences, document_of, in_force, settings_of

if TYPE_CHECKING:
    from sluice.domain.settings.owners import OwnersSettings
    from sluice.ports.settings import SettingsStore
    from sluice.services.operations.admin import Actor

log = logging.getLogger("sluice.settings")

FRESH_SECONDS = 5.0  # so that with the read itself a change is in force everywhere within 10 s
LOOKED_AT = 10  # versions, newest first, of which one should be good
UPSTREAMS = (
    "Upstreams are changed by the operator, with `sluice config apply`, because who changes one can have a key of this "
    "server sent to any address."
)
SHOWN, SHOWN_CHARACTERS = 5, 120  # changed tables that a conflict names, and of each


class SettingsInForce:
    """What this process knows of the settings. Thread-safe. `monotonic`: a clock in seconds."""

    def __init__(self, store: SettingsStore, monotonic: Callable[[], float]) -> None:
        self._store, self._monotonic = store, monotonic
        self._known, self._looked_s = InForce(), float("-inf")
        self._reading, self._changing = Lock(), Lock()

    def known(self) -> InForce:
        """Without a read."""
        return self._known

    def current(self) -> InForce:
        """At most `FRESH_SECONDS` old. While the store does not answer, what was known stays in force.

        One thread reads; the others go on with what is known, except before the first read, which they await.
        """
        if not self._is_old() or not self._reading.acquire(blocking=self._looked_s < 0):
            return self._known
        try:
            if self._is_old():
                self._looked_s = self._monotonic()  # also of a failed read, so that an outage costs one read in 5 s
                self.read()
        except StoreUnavailable:
            log.warning("the settings cannot be read: version %d stays in force", self._known.version)
        finally:
            self._reading.release()
        return self._known

    def read(self) -> InForce:
        """From the store, now. Errors: StoreUnavailable."""
        read = in_force(self._store.newest(LOOKED_AT))
        with self._changing:  # reads that overtake each other
            before, self._known = self._known, read.after(self._known)
        if self._known.problem and self._known.problem != before.problem:
            log.error("%s Version %d stays in force.", self._known.problem, self._known.good_version)
        return self._known

    def _is_old(self) -> bool:
        return self._monotonic() - self._looked_s >= FRESH_SECONDS


@dataclass(frozen=True)
class OwnersTerms:
    """Reads and changes the settings. Every method may raise StoreUnavailable."""

    store: SettingsStore
    in_force: SettingsInForce

    def read(self) -> InForce:
        return self.in_force.read()

    def change(
        self, by: Actor, version: int, wanted: OwnersSettings, now_ms: int, *, applied: str | None = None
    ) -> InForce:
        """Write the next version after `version`, which the caller has read. Nothing is written if nothing changes.

        `applied`: the hash of the file that is applied; None for an edit. Errors: Conflict (it is not the newest),
        Forbidden (an admin changes upstreams), ValidationFailed (too long).
        """
        known = self.in_force.read()
        if known.version != version:
            raise self._conflict(version)
        before = known.or_empty()
        if by.account_id != OPERATOR and wanted.upstreams != before.upstreams:
            raise Forbidden(UPSTREAMS)
        hash_ = known.applied if applied is None else applied
        if wanted == before and hash_ == known.applied and not known.problem:
            return known
        after = StoredSettings(version + 1, document_of(wanted), now_ms, by.account_id, hash_, applied is None)
        try:
            self.store.put(after, _event(by, known, wanted, now_ms))
        except Conflict as exc:
            raise self._conflict(version) from exc
        return self.in_force.read()

    def _conflict(self, version: int) -> Conflict:
        """Tells the loser what the winner changed."""
        now, read = self.in_force.read(), self.store.at(version)
        try:
            before = settings_of(read.document) if read else InForce().or_empty()
        except ValueError:
            before = InForce().or_empty()
        changed = differences(before, now.or_empty())
        named = "; ".join(f"{name}: {_cut(a)} → {_cut(b)}" for name, (a, b) in list(changed.items())[:SHOWN])
        return Conflict(
            f"The settings were changed since version {version} was read; they are at version {now.version}"
            + (f" ({named})" if named else "")
            + ". Read them again and repeat your change."
        )


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def _event(by: Actor, known: InForce, wanted: OwnersSettings, now_ms: int) -> AuditEvent:
    changed = differences(known.or_empty(), wanted)
    return new_event(
        Action.SETTINGS_CHANGED,
        actor=by.account_id,
        target="",
        now_ms=now_ms,
        before={"version": known.version} | {name: before for name, (before, _) in changed.items()},
        after={"version": known.version + 1} | {name: after for name, (_, after) in changed.items()},
        client=by.client,
    )
