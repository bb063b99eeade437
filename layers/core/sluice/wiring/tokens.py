"""API tokens: the use case, bound to its stores once a process."""

from sluice.services.tokens import Tokens
from sluice.wiring import peers, stores
from sluice.wiring.once import once


@once
def tokens() -> Tokens:
    from sluice.wiring.accounts import security_events

    return Tokens(stores.token_store(), stores.grant_store(), security_events(), peers.token_signer)
