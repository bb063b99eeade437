"""What the admin's calls and pages take from a request: who asks, and whom it is about."""

from sluice.domain.errors import NotFound
from sluice.domain.ids import is_id
from sluice.http.accounts.visitor import visitor
from sluice.http.auth import Caller
from sluice.services.operations.admin import Actor


def actor(caller: Caller) -> Actor:
    return Actor(caller.account_id, visitor().network)


def checked_user_id(user_id: str) -> str:
    """Errors: NotFound, where it has not the form of an account's id: it is no key to ask a store for."""
    if not is_id("usr_", user_id):
        raise NotFound("There is no such user.")
    return user_id
