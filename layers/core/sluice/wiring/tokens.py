"""API tokens: the use case, bound to its stores once a process."""

from __future__ import annotations  # only a function that serves the use case imports it

from functools import cache
from typing import TYPE_CHECKING

from sluice.wiring import peers, stores

if TYPE_CHECKING:
    from sluice.services.tokens import Tokens


@cache
def tokens() -> Tokens:
    from sluice.services.tokens import Tokens
    from sluice.wiring.accounts import security_events

    return Tokens(stores.token_store(), stores.grant_store(), security_events(), peers.token_signer)
