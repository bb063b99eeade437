"""Issue an API token: its row, then its place on the grant's list, then the string, shown once."""

from dataclasses import dataclass, field

from sluice.domain.errors import TokenLimitReached
from sluice.domain.ids import random_id
from sluice.domain.tokens import HINT_CHARACTERS, ApiToken, Claims
from sluice.ports.gateway import GrantStore
from sluice.ports.tokens import TokenSigner, TokenStore


@dataclass(frozen=True)
class IssuedToken:
    row: ApiToken
    token: str = field(repr=False)  # the JWT: nowhere else, and never again


def issue_token(
    account_id: str,
    *,
    name: str,
    lifetime_s: int,
    scopes: tuple[str, ...],
    models: tuple[str, ...] | None,
    tokens: TokenStore,
    grants: GrantStore,
    signer: TokenSigner,
    now_ms: int,
) -> IssuedToken:
    """Errors: TokenLimitReached (nothing is left behind), StoreUnavailable.

    The row comes first, so that a live API token is never missing from the list. Should the second write end
    unclear, the row stays, showing what became of it: nobody has the string, and it can be revoked and deleted.
    """
    now_s = now_ms // 1000
    claims = Claims(random_id("tok_"), account_id, now_s, now_s + lifetime_s, frozenset(scopes), models)
    token = signer.sign(claims)
    row = ApiToken(
        account_id=account_id,
        token_id=claims.token_id,
        name=name,
        hint=token[-HINT_CHARACTERS:],
        scopes=scopes,
        models=models,
        created_ms=now_ms,
        expires_ms=claims.expires_s * 1000,
    )
    tokens.put(row)
    try:
        grants.add_live(account_id, claims.token_id, claims.expires_s, now_s)
    except TokenLimitReached:
        tokens.delete(account_id, claims.token_id)
        raise
    return IssuedToken(row, token)
