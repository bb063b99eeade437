"""The audit log's view of a request: who asks, from where."""

from sluice import wiring
from sluice.domain.throttles import client_network
from sluice.http.auth import Caller, now_ms
from sluice.http.client import client_address
from sluice.services.admin import Administration
from sluice.services.security_events import Note, noting


def security_notes() -> Note:
    """For events of one's own account: best effort, never an error."""
    return noting(wiring.audit_log(), client=client_network(client_address()), now_ms=now_ms())


def administration(caller: Caller) -> Administration:
    """What this admin may do to others, each deed kept with its client address."""
    return Administration(
        wiring.account_store(),
        wiring.grant_store(),
        wiring.hot_store(),
        wiring.audit_log(),
        actor=caller.account_id,
        client=client_network(client_address()),
    )
