"""Security events of one's own account, for the audit log: best effort, since none is worth refusing a login for."""

import logging
from collections.abc import Callable

from sluice.domain.accounts.audit import Action, new_event
from sluice.domain.errors import StoreUnavailable
from sluice.ports.accounts import AuditLog

log = logging.getLogger("sluice.audit")

Note = Callable[[Action, str], None]  # what happened, and to which account; "" where there is no such account


def note_nothing(action: Action, account_id: str) -> None:
    """Where nobody keeps an audit log."""


def noting(audit: AuditLog, *, client: str, now_ms: int) -> Note:
    """`client` is the network address it came from. A password is one's own matter, so actor and target are one."""

    def note(action: Action, account_id: str) -> None:
        # Whoever tries passwords is nobody we know, least of all the account's owner.
        actor = "" if action is Action.LOGINS_THROTTLED else account_id
        event = new_event(action, actor=actor, target=account_id, now_ms=now_ms, client=client)
        try:
            audit.put(event)
        except StoreUnavailable:
            log.warning("security event not kept: %s", action, extra={"account_id": account_id})

    return note
