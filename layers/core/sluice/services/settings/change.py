"""How the owner's settings are changed."""

from __future__ import annotations  # the form of the settings is the caller's

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluice.domain.accounts.audit import OPERATOR, Action, AuditEvent, new_event
from sluice.domain.errors import Conflict, Forbidden
from sluice.domain.settings.versions import InForce, StoredSettings, differences, document_of, settings_of

if TYPE_CHECKING:
    from sluice.domain.settings.owners import OwnersSettings
    from sluice.ports.settings import SettingsStore
    from sluice.services.operations.admin import Actor
    from sluice.services.settings.in_force import SettingsInForce

OPERATORS = (
    "Upstreams, sign-in providers, webhooks and payment are changed by the operator, with `sluice config apply`, "
    "because who changes one can have a key of this server sent to any address, or requests into the owner's network."
)
SHOWN, SHOWN_CHARACTERS = 5, 120  # changed tables that a conflict names, and of each


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
        Forbidden (an admin changes what only the operator may), ValidationFailed (too long).
        """
        known = self.in_force.read()
        if known.version != version:
            raise self._conflict(version)
        before = known.or_empty()
        if by.account_id != OPERATOR and wanted.operators() != before.operators():
            raise Forbidden(OPERATORS)
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
