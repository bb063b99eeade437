"""API tokens: issue, list, revoke. The grant's list decides which tokens are live; the rows are for display."""

from collections.abc import Callable
from dataclasses import dataclass, field

from sluice.domain.accounts.audit import Action
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import NotAuthenticated, NotFound, TokenLimitReached
from sluice.domain.ids import random_id
from sluice.domain.tokens import HINT_CHARACTERS, MOST_TOKENS, ApiToken, Claims, Status, TokenRequest
from sluice.ports.gateway import GrantStore
from sluice.ports.tokens import TokenSigner, TokenStore
from sluice.services.accounts.security_events import SecurityEvents


@dataclass(frozen=True)
class IssuedToken:
    row: ApiToken
    token: str = field(repr=False)  # the JWT, which is not stored and is shown only once


@dataclass(frozen=True)
class ListedToken:
    """`status` is derived from the grant and the row together."""

    row: ApiToken
    status: Status


@dataclass(frozen=True)
class Tokens:
    """`signer` reads the private key when the first token is issued. Only the `tokens` function may do that.

    Every method may raise StoreUnavailable.
    """

    rows: TokenStore
    grants: GrantStore
    events: SecurityEvents
    signer: Callable[[], TokenSigner]

    def issue(self, account_id: str, wanted: TokenRequest, now_ms: int, *, epoch: int) -> IssuedToken:
        """`epoch`: of the session that asks. Errors: TokenLimitReached and NotAuthenticated (a reset of the password
        has ended the session meanwhile), which leave no row.

        The row is written first, so that a live API token is never missing from the list. If the result of the second
        write is unknown, the row stays. The caller never got the token's string, and can revoke and delete it.
        """
        now_s = now_ms // 1000
        expires_s = now_s + wanted.lifetime_s
        claims = Claims(random_id("tok_"), account_id, now_s, expires_s, frozenset(wanted.scopes), wanted.models)
        token = self.signer().sign(claims)
        row = ApiToken(
            account_id=account_id,
            token_id=claims.token_id,
            name=wanted.name,
            hint=token[-HINT_CHARACTERS:],
            scopes=wanted.scopes,
            models=wanted.models,
            created_ms=now_ms,
            expires_ms=expires_s * 1000,
        )
        self._forget_old(account_id, now_ms)
        self.rows.put(row)
        try:
            self.grants.add_live(account_id, claims.token_id, expires_s, now_s, epoch)
        except (TokenLimitReached, NotAuthenticated):
            self.rows.delete(account_id, claims.token_id)
            raise
        return IssuedToken(row, token)

    def all(self, account_id: str, now_ms: int) -> list[ListedToken]:
        """Newest first."""
        rows = sorted(self.rows.of_account(account_id), key=lambda row: (row.created_ms, row.token_id), reverse=True)
        live = self.grants.live(account_id)
        return [ListedToken(row, row.status(live, now_ms)) for row in rows]

    def one(self, account_id: str, token_id: str, now_ms: int) -> ListedToken:
        """Errors: NotFound (also for another account's)."""
        row = self._row(account_id, token_id)
        return ListedToken(row, row.status(self.grants.live(account_id), now_ms))

    def revoke(self, account_id: str, token_id: str, now_ms: int) -> ListedToken:
        """The first write, to the grant, makes the token invalid. Idempotent. An expired token stays `expired`.
        Errors: NotFound (also for another account's)."""
        found = self.one(account_id, token_id, now_ms)
        self.grants.remove_live(account_id, token_id)
        if found.status == "expired":
            return found
        self.rows.mark_revoked(account_id, token_id, now_ms)
        return self.one(account_id, token_id, now_ms)

    def delete(self, account_id: str, token_id: str) -> None:
        """Revoke the token, then delete its row. Errors: NotFound (also for another account's)."""
        self._row(account_id, token_id)
        self.grants.remove_live(account_id, token_id)
        self.rows.delete(account_id, token_id)

    def revoke_all(self, account_id: str, visitor: Visitor) -> int:
        """→ how many tokens were live. The first write makes all of them invalid. If a later write fails, its row still
        shows `revoked`, because the grant does not list the token."""
        revoked = self.grants.remove_all_live(account_id, visitor.now_ms // 1000)
        for token_id in revoked:
            self.rows.mark_revoked(account_id, token_id, visitor.now_ms)
        self.events.note(Action.TOKENS_REVOKED, account_id, visitor)
        return len(revoked)

    def _forget_old(self, account_id: str, now_ms: int) -> None:
        """Delete the rows of the oldest expired and revoked API tokens where an account has as many as it may have.
        Concurrent calls may exceed the bound until the next one."""
        rows = sorted(self.rows.of_account(account_id), key=lambda row: row.created_ms)
        ended = [row for row in rows if row.revoked_ms is not None or row.expires_ms <= now_ms]
        for row in ended[: max(0, len(rows) - MOST_TOKENS + 1)][:100]:
            self.rows.delete(account_id, row.token_id)

    def _row(self, account_id: str, token_id: str) -> ApiToken:
        row = self.rows.get(account_id, token_id)
        if row is None:
            raise NotFound("There is no such API token.")
        return row
