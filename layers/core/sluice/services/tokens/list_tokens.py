"""The list of API tokens, each with the status that the grant and its row agree on."""

from dataclasses import dataclass

from sluice.domain.errors import NotFound
from sluice.domain.tokens import ApiToken, Status
from sluice.ports.gateway import GrantStore
from sluice.ports.tokens import TokenStore


@dataclass(frozen=True)
class ListedToken:
    row: ApiToken
    status: Status


def list_tokens(account_id: str, *, tokens: TokenStore, grants: GrantStore, now_ms: int) -> list[ListedToken]:
    """Newest first. Errors: StoreUnavailable."""
    rows = sorted(tokens.of_account(account_id), key=lambda row: (row.created_ms, row.token_id), reverse=True)
    live = grants.live(account_id)
    return [ListedToken(row, row.status(live, now_ms)) for row in rows]


def one_token(account_id: str, token_id: str, *, tokens: TokenStore, grants: GrantStore, now_ms: int) -> ListedToken:
    """Errors: NotFound (also another's), StoreUnavailable."""
    row = tokens.get(account_id, token_id)
    if row is None:
        raise NotFound("There is no such API token.")
    return ListedToken(row, row.status(grants.live(account_id), now_ms))
