"""The owner's settings."""

from __future__ import annotations  # a port is imported without the domain that it speaks of (ADR 85)

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sluice.domain.accounts.audit import AuditEvent
    from sluice.domain.settings.versions import StoredSettings


class SettingsStore(Protocol):
    """Versions of the settings. All methods may raise StoreUnavailable; reads are consistent."""

    def newest(self, limit: int) -> list[StoredSettings]:
        """Newest first."""

    def at(self, version: int) -> StoredSettings | None: ...

    def put(self, stored: StoredSettings, event: AuditEvent) -> None:
        """Add a version and its audit event, or neither, and let the version before it expire after a year.
        Errors: Conflict when there is this version."""
