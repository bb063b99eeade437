"""API tokens: issue, list, change, rotate, revoke. The grant decides which are live; the rows are for display."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sluice.domain.accounts.audit import Action
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import (
    Conflict,
    FieldProblem,
    NotAuthenticated,
    NotFound,
    TokenLimitReached,
    ValidationFailed,
)
from sluice.domain.gateway.admission import TokenLimits
from sluice.domain.gateway.grants import Replaced
from sluice.domain.gateway.publishable import PublicTerms
from sluice.domain.ids import random_id
from sluice.domain.tokens import HINT_CHARACTERS, MOST_TOKENS, ApiToken, Status, TokenRequest
from sluice.ports.gateway import GrantStore
from sluice.ports.tokens import PublishedTokens, TokenSigner, TokenStore
from sluice.services.accounts.security_events import SecurityEvents

NO_ROOM = (
    "This account has as many live API tokens as it may have, and the old one would be one more. Revoke one first, or "
    "rotate with grace_seconds 0."
)
NO_LIMITS = TokenLimits()
SALT_BYTES = 12  # of the key that hides visitors' addresses
Changes = Mapping[str, int | None]  # limits of `TokenLimits`, as far as given


@dataclass(frozen=True)
class IssuedToken:
    row: ApiToken
    limits: TokenLimits
    token: str = field(repr=False)  # the JWT, which is not stored and is shown only once
    public: PublicTerms | None = None


@dataclass(frozen=True)
class ListedToken:
    """`status` is derived from the grant and the row together; `limits` and `public` (of a publishable one, its origins
    and limits) are of the grant, and none once it ended."""

    row: ApiToken
    status: Status
    limits: TokenLimits
    public: PublicTerms | None = None


@dataclass(frozen=True)
class Tokens:
    """`signer` reads the private key when the first token is issued. Only the `tokens` function may do that.

    Every method may raise StoreUnavailable.
    """

    rows: TokenStore
    grants: GrantStore
    events: SecurityEvents
    signer: Callable[[], TokenSigner]
    published: PublishedTokens

    def issue(self, account_id: str, wanted: TokenRequest, now_ms: int, *, epoch: int) -> IssuedToken:
        """`epoch`: of the session that asks. Errors: TokenLimitReached and NotAuthenticated (a reset of the password
        has ended the session meanwhile), which leave no row.

        The row is written first, so that a live API token is never missing from the list. If the result of the second
        write is unknown, the row stays. The caller never got the token's string, and can revoke and delete it.
        """
        now_s = now_ms // 1000
        expires_s = now_s + wanted.lifetime_s
        row = ApiToken(
            account_id=account_id,
            token_id=random_id("tok_"),
            name=wanted.name,
            hint="",
            scopes=wanted.scopes,
            models=wanted.models,
            created_ms=now_ms,
            expires_ms=expires_s * 1000,
            local_only=wanted.local_only,
            kind="publishable" if wanted.public else "secret",
        )
        public = replace(wanted.public, salt=secrets.token_urlsafe(SALT_BYTES)) if wanted.public else None

        def make_live() -> None:
            self.grants.add_live(account_id, row.token_id, expires_s, now_s, epoch, wanted.limits, public=public)

        return self._issued(row, wanted.limits or NO_LIMITS, make_live, public)

    def rotate(self, account_id: str, token_id: str, grace_s: int, now_ms: int, *, epoch: int) -> IssuedToken:
        """A new API token of the same terms, valid as long from now on as the old one was when it was new. The old one
        stays live for `grace_s`, and never longer than before. Both share their limits and counters.

        Errors: NotFound (also for another account's), Conflict (not active, or rotated already), TokenLimitReached
        (with `grace_s`), NotAuthenticated. They leave no row.
        """
        found, now_s = self.one(account_id, token_id, now_ms), now_ms // 1000
        if found.status != "active":
            raise Conflict(f"This API token is {found.status}: only an active one can be rotated.")
        old, issued_s = found.row, found.row.expires_ms // 1000
        until_s = min(now_s + grace_s, issued_s - 1) if grace_s else None
        replaced = Replaced(token_id, old.of_family, issued_s, until_s)
        expires_s = now_s + issued_s - old.created_ms // 1000
        row = replace(
            old,
            token_id=random_id("tok_"),
            created_ms=now_ms,
            expires_ms=expires_s * 1000,
            last_used_ms=None,
            family=old.of_family,
            rotated_from=token_id,
            ends_ms=None,
        )

        def make_live() -> None:
            try:
                self.grants.rotate_live(account_id, row.token_id, expires_s, now_s, epoch, replaced)
            except TokenLimitReached as exc:
                raise TokenLimitReached(NO_ROOM) from exc

        issued = self._issued(row, found.limits, make_live, found.public)
        if until_s is None:
            self.rows.mark_revoked(account_id, token_id, now_ms)
        else:
            self.rows.mark_replaced(account_id, token_id, until_s * 1000)
        return issued

    def _issued(
        self,
        unsigned: ApiToken,
        limits: TokenLimits,
        make_live: Callable[[], None],
        public: PublicTerms | None,
    ) -> IssuedToken:
        token = self.signer().sign(unsigned.claims)
        row = replace(unsigned, hint=token[-HINT_CHARACTERS:])
        self._forget_old(row.account_id, row.created_ms)
        if row.is_publishable:
            self.published.announce(row.expires_ms // 1000)
        self.rows.put(row)
        try:
            make_live()
        except (Conflict, NotAuthenticated):
            self.rows.delete(row.account_id, row.token_id)
            raise
        return IssuedToken(row, limits, token, public)

    def change(
        self,
        account_id: str,
        token_id: str,
        name: str | None,
        limits: Changes | None,
        now_ms: int,
        public: Mapping[str, Any] | None = None,
    ) -> ListedToken:
        """None leaves the name, or the limits, as they are; `public`: changes of `PublicTerms`. They are in force from
        the next request on, and counters stay. Errors: NotFound (also for another account's), Conflict (limits of one
        that is not active), ValidationFailed (`public` of one that is not publishable)."""
        found = self.one(account_id, token_id, now_ms)
        if (limits is not None or public) and found.status != "active":
            raise Conflict(f"This API token is {found.status}: it has no limits.")
        if public:
            if not found.row.is_publishable:
                raise ValidationFailed((FieldProblem("origins", "Only publishable API tokens have origins."),))
            self.grants.set_public_terms(account_id, found.row.of_family, public)
        if limits is not None:
            wanted = replace(found.limits, **limits)
            is_plain = wanted == NO_LIMITS and not found.row.is_publishable
            self.grants.set_token_limits(account_id, found.row.of_family, None if is_plain else wanted)
        if name is not None:
            self.rows.rename(account_id, token_id, name)
        return self.one(account_id, token_id, now_ms)

    def all(self, account_id: str, now_ms: int) -> list[ListedToken]:
        """Newest first."""
        rows = sorted(self.rows.of_account(account_id), key=lambda row: (row.created_ms, row.token_id), reverse=True)
        found = self.grants.live_with_limits(account_id)
        return [_listed(row, *found, now_ms) for row in rows]

    def one(self, account_id: str, token_id: str, now_ms: int) -> ListedToken:
        """Errors: NotFound (also for another account's)."""
        row = self._row(account_id, token_id)
        return _listed(row, *self.grants.live_with_limits(account_id), now_ms)

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


def _listed(
    row: ApiToken,
    live: Mapping[str, int],
    limits: Mapping[str, TokenLimits],
    public: Mapping[str, PublicTerms],
    now_ms: int,
) -> ListedToken:
    status = row.status(live, now_ms)
    if status != "active":
        return ListedToken(row, status, NO_LIMITS)
    return ListedToken(row, status, limits.get(row.of_family, NO_LIMITS), public.get(row.of_family))
