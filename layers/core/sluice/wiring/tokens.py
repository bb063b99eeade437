"""API tokens: the use case, bound to its stores once a process."""

from sluice.once import once
from sluice.services.tokens import Tokens
from sluice.wiring import peers, stores


@once
def tokens() -> Tokens:
    from sluice.wiring.accounts import security_events

    return Tokens(stores.token_store(), stores.grant_store(), security_events(), peers.token_signer)
