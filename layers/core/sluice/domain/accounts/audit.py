"""Audit events: what admins did, and what happened to an account's security. Append-only; they never hold a secret.

Events name people by id only. `client`, the network address of the actor, is a field of its own because it is removed
when that person's account is erased.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sluice.domain.ids import ulid
from sluice.domain.periods import day_of

SCHEMA = 1
FIRST_DAY = "2026-11-01"  # the day Sluice began: no event is older


class Action(StrEnum):
    """Named in the past tense, because an event has happened."""

    USER_SUSPENDED = "user_suspended"
    USER_RESTORED = "user_restored"
    LIMITS_CHANGED = "limits_changed"
    PLAN_CHANGED = "plan_changed"
    ROLE_CHANGED = "role_changed"
    SETTINGS_CHANGED = "settings_changed"
    NEW_PLACE_LOGIN = "new_place_login"
    LOGINS_THROTTLED = "logins_throttled"
    PASSWORD_CHANGED = "password_changed"
    PASSWORD_RESET = "password_reset"
    EMAIL_CHANGED = "email_changed"
    FACTOR_ADDED = "factor_added"
    FACTOR_REMOVED = "factor_removed"
    FACTORS_REMOVED = "factors_removed"
    FACTORS_THROTTLED = "factors_throttled"
    PASSKEY_COPIED = "passkey_copied"
    RECOVERY_CODE_USED = "recovery_code_used"
    RECOVERY_CODES_RENEWED = "recovery_codes_renewed"
    IDENTITY_LINKED = "identity_linked"
    IDENTITY_REMOVED = "identity_removed"
    SESSIONS_ENDED = "sessions_ended"
    TOKENS_REVOKED = "tokens_revoked"
    WEBHOOK_MADE = "webhook_made"
    WEBHOOK_CHANGED = "webhook_changed"
    WEBHOOK_SECRET_RENEWED = "webhook_secret_renewed"
    WEBHOOK_DELETED = "webhook_deleted"
    USER_INVITED = "user_invited"
    INVITATION_WITHDRAWN = "invitation_withdrawn"
    INVITATION_ACCEPTED = "invitation_accepted"
    ACCOUNT_DELETED = "account_deleted"


@dataclass(frozen=True)
class AuditEvent:
    """`actor` and `target` are account ids, or empty if unknown or none. Actor `operator` is the `sluice` command,
    `stripe` a subscription."""

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


OPERATOR = "operator"  # the actor of the `sluice` command
STRIPE = "stripe"  # the actor where a subscription changed a plan


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
    event_id = "evt_" + ulid(now_ms)
    return AuditEvent(event_id, action, actor, target, now_ms, before or {}, after or {}, client)
