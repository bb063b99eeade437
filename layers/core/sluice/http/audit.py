"""The audit log's context from a request: who acts, and from which address."""

from sluice.domain.accounts.throttles import client_network
from sluice.http.auth import Caller, now_ms
from sluice.http.client import client_address
from sluice.services.accounts.security_events import Note, noting
from sluice.services.operations.admin import Administration
from sluice.wiring import stores


def security_notes() -> Note:
    """For events of the caller's own account. Best effort: it never raises."""
    return noting(stores.audit_log(), client=client_network(client_address()), now_ms=now_ms())


def administration(caller: Caller) -> Administration:
    """The admin's actions on other accounts. Each is recorded with the admin's client address."""
    return Administration(
        stores.account_store(),
        stores.grant_store(),
        stores.hot_store(),
        stores.audit_log(),
        actor=caller.account_id,
        client=client_network(client_address()),
    )
