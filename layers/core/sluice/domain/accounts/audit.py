"""Audit events: what admins did, and what happened to the security of an account. Append-only, never a secret.

People are named by their ids only. The network address of who did it is kept apart, in `client`: it is the one thing
that is taken out again when the person's account is erased.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ulid import ULID

from sluice.domain.periods import day_of

SCHEMA = 1
FIRST_DAY = "2026-11-01"  # no event is older: there was no Sluice


class Action(StrEnum):
    """Past tense: it happened."""

    USER_SUSPENDED = "user_suspended"
    USER_RESTORED = "user_restored"
    LIMITS_CHANGED = "limits_changed"
    ROLE_CHANGED = "role_changed"
    NEW_PLACE_LOGIN = "new_place_login"
    LOGINS_THROTTLED = "logins_throttled"
    PASSWORD_CHANGED = "password_changed"
    PASSWORD_RESET = "password_reset"
    EMAIL_CHANGED = "email_changed"
    TOKENS_REVOKED = "tokens_revoked"
    ACCOUNT_DELETED = "account_deleted"


@dataclass(frozen=True)
class AuditEvent:
    """`actor` and `target` are account ids, or empty: nobody known, nobody in particular. `operator` is the command."""

    event_id: str
    action: str
    actor: str
    target: str
    created_ms: int
    before: Mapping[str, str | int] = field(default_factory=dict)
    after: Mapping[str, str | int] = field(default_factory=dict)
    client: str = ""
    schema: int = SCHEMA

    @property
    def day(self) -> str:
        return day_of(self.created_ms)


OPERATOR = "operator"  # who has the machine: the `sluice` command


def new_event(
    action: Action,
    *,
    actor: str,
    target: str,
    now_ms: int,
    before: Mapping[str, str | int] | None = None,
    after: Mapping[str, str | int] | None = None,
    client: str = "",
) -> AuditEvent:
    event_id = "evt_" + str(ULID.from_timestamp(now_ms / 1000))
    return AuditEvent(event_id, action, actor, target, now_ms, before or {}, after or {}, client)
