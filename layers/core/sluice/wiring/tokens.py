"""API tokens: the use case, bound to its stores once a process."""

from sluice.once import once
from sluice.services.tokens import Tokens
from sluice.wiring import peers, stores
from sluice.wiring.settings import any_origin


@once
def tokens() -> Tokens:
    from sluice.wiring.accounts import security_events

    return Tokens(stores.token_store(), stores.grant_store(), security_events(), peers.token_signer, any_origin())
