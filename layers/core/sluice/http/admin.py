"""What admin endpoints and pages read from a request: the acting admin and the user concerned."""

from sluice.domain.errors import NotFound
from sluice.domain.ids import is_id
from sluice.http.accounts.visitor import visitor
from sluice.http.auth import Caller
from sluice.services.operations.admin import Actor


def actor(caller: Caller) -> Actor:
    return Actor(caller.account_id, visitor().network)


def checked_user_id(user_id: str) -> str:
    """Errors: NotFound if it does not have the form of an account id, so that the store is not asked for it."""
    if not is_id("usr_", user_id):
        raise NotFound("There is no such user.")
    return user_id
