"""Revoke API tokens: one write to the grant refuses them from the next request on, then the rows are told."""

from sluice.domain.errors import NotFound
from sluice.ports.gateway import GrantStore
from sluice.ports.tokens import TokenStore
from sluice.services.tokens.list_tokens import ListedToken, one_token


def revoke_token(account_id: str, token_id: str, *, tokens: TokenStore, grants: GrantStore, now_ms: int) -> ListedToken:
    """Idempotent. One that expired by itself stays `expired`. Errors: NotFound (also another's), StoreUnavailable."""
    found = one_token(account_id, token_id, tokens=tokens, grants=grants, now_ms=now_ms)
    grants.remove_live(account_id, token_id)
    if found.status == "expired":
        return found
    tokens.mark_revoked(account_id, token_id, now_ms)
    return one_token(account_id, token_id, tokens=tokens, grants=grants, now_ms=now_ms)


def delete_token(account_id: str, token_id: str, *, tokens: TokenStore, grants: GrantStore) -> None:
    """Revoked, then gone from the list. Errors: NotFound (also another's), StoreUnavailable."""
    if tokens.get(account_id, token_id) is None:
        raise NotFound("There is no such API token.")
    grants.remove_live(account_id, token_id)
    tokens.delete(account_id, token_id)


def revoke_all(account_id: str, *, tokens: TokenStore, grants: GrantStore, now_ms: int) -> int:
    """How many were live. All are refused after the first write, whatever becomes of the rest: a row that was not
    told shows `revoked` all the same, as it is on no grant. Errors: StoreUnavailable."""
    revoked = grants.remove_all_live(account_id, now_ms // 1000)
    for token_id in revoked:
        tokens.mark_revoked(account_id, token_id, now_ms)
    return len(revoked)
