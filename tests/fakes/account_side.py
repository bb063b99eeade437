"""In-memory stores of the account side. `broken` names the methods that raise StoreUnavailable."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sluice.domain.accounts.account import Account
from sluice.domain.accounts.audit import AuditEvent
from sluice.domain.accounts.sessions import Session
from sluice.domain.accounts.throttles import Counter, Policy
from sluice.domain.errors import Conflict, NotFound, StoreUnavailable, TokenLimitReached
from sluice.domain.gateway.admission import TokenLimits
from sluice.domain.gateway.grants import MAX_LIVE_TOKENS, Replaced, live_tokens
from sluice.domain.gateway.publishable import PublicTerms
from sluice.domain.mails.mail import Mail
from sluice.domain.tokens import ApiToken, Claims


class Breakable:
    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.calls: list[str] = []

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.broken:
            raise StoreUnavailable()


class FakeAccounts(Breakable):
    """Only the reads; tests add accounts by `put`."""

    def __init__(self, *accounts: Account) -> None:
        super().__init__()
        self.accounts = {account.account_id: account for account in accounts}

    def put(self, account: Account) -> None:
        self.accounts[account.account_id] = account

    def get(self, account_id: str) -> Account | None:
        self._called("get")
        return self.accounts.get(account_id)

    def by_email(self, email_key: str, now_ms: int) -> Account | None:
        self._called("by_email")
        return next((a for a in self.accounts.values() if a.email_key == email_key), None)


class FakeSessions(Breakable):
    def __init__(self, accounts: FakeAccounts) -> None:
        super().__init__()
        self.sessions: dict[str, Session] = {}
        self._accounts = accounts

    def put(self, session: Session) -> None:
        self._called("put")
        self.sessions[session.session_id] = session

    def get(self, session_id: str) -> Session | None:
        self._called("get")
        return self.sessions.get(session_id)

    def of_account(self, account_id: str) -> list[Session]:
        self._called("of_account")
        return [session for session in self.sessions.values() if session.account_id == account_id]

    def delete(self, session_id: str, account_id: str) -> None:
        self._called("delete")
        found = self.sessions.get(session_id)
        if found is None or found.account_id != account_id:
            raise NotFound()
        del self.sessions[session_id]

    def change_password(self, account: Account, password_hash: str, kept_session_id: str) -> None:
        self._called("change_password")
        kept = self.sessions.get(kept_session_id)
        now = self._accounts.accounts[account.account_id]
        if now.session_epoch != account.session_epoch or kept is None or kept.epoch != account.session_epoch:
            raise Conflict()
        epoch = account.session_epoch + 1
        self._accounts.put(replace(now, password_hash=password_hash, session_epoch=epoch, codes={}))
        self.sessions[kept_session_id] = replace(kept, epoch=epoch)


class FakeTokens(Breakable):
    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[tuple[str, str], ApiToken] = {}

    def put(self, token: ApiToken) -> None:
        self._called("put")
        self.rows[token.account_id, token.token_id] = token

    def get(self, account_id: str, token_id: str) -> ApiToken | None:
        self._called("get")
        return self.rows.get((account_id, token_id))

    def of_account(self, account_id: str) -> list[ApiToken]:
        self._called("of_account")
        return [row for (owner, _), row in self.rows.items() if owner == account_id]

    def mark_revoked(self, account_id: str, token_id: str, now_ms: int) -> None:
        self._called("mark_revoked")
        row = self.rows.get((account_id, token_id))
        if row is not None and row.revoked_ms is None:
            self.rows[account_id, token_id] = replace(row, revoked_ms=now_ms)

    def rename(self, account_id: str, token_id: str, name: str) -> None:
        self._called("rename")
        self.rows[account_id, token_id] = replace(self.rows[account_id, token_id], name=name)

    def mark_replaced(self, account_id: str, token_id: str, ends_ms: int) -> None:
        self._called("mark_replaced")
        self.rows[account_id, token_id] = replace(self.rows[account_id, token_id], ends_ms=ends_ms)

    def delete(self, account_id: str, token_id: str) -> None:
        self._called("delete")
        self.rows.pop((account_id, token_id), None)


class FakeGrants(Breakable):
    """The live API tokens of one account."""

    def __init__(self, **live: int) -> None:
        super().__init__()
        self.entries = dict(live)
        self.limits: dict[str, TokenLimits] = {}
        self.public: dict[str, PublicTerms] = {}

    def live(self, account_id: str) -> dict[str, int]:
        self._called("live")
        return dict(self.entries)

    def add_live(
        self,
        account_id: str,
        token_id: str,
        expires_s: int,
        now_s: int,
        epoch: int,
        limits: TokenLimits | None = None,
        family: str | None = None,
        public: PublicTerms | None = None,
    ) -> None:
        self._called("add_live")
        self.entries = live_tokens(self.entries, now_s)
        if len(self.entries) >= MAX_LIVE_TOKENS:
            raise TokenLimitReached()
        self.entries[token_id] = expires_s
        if limits is not None:
            self.limits.setdefault(family or token_id, limits)
        if public is not None:
            self.public[family or token_id] = public

    def rotate_live(
        self, account_id: str, token_id: str, expires_s: int, now_s: int, epoch: int, replaced: Replaced
    ) -> None:
        self._called("rotate_live")
        if not replaced.can_be(self.entries, now_s):
            raise Conflict()
        if replaced.until_s is None:
            del self.entries[replaced.token_id]
        else:
            self.entries[replaced.token_id] = replaced.until_s
        self.entries[token_id] = expires_s

    def set_token_limits(self, account_id: str, family: str, limits: TokenLimits | None) -> None:
        self._called("set_token_limits")
        self.limits.pop(family, None)
        if limits is not None:
            self.limits[family] = limits

    def set_public_terms(self, account_id: str, family: str, changes: Mapping[str, Any]) -> None:
        self._called("set_public_terms")
        self.public[family] = replace(self.public[family], **changes)

    def live_with_limits(
        self, account_id: str
    ) -> tuple[dict[str, int], dict[str, TokenLimits], dict[str, PublicTerms]]:
        return self.live(account_id), dict(self.limits), dict(self.public)

    def remove_live(self, account_id: str, token_id: str) -> None:
        self._called("remove_live")
        self.entries.pop(token_id, None)

    def remove_all_live(self, account_id: str, now_s: int) -> list[str]:
        self._called("remove_all_live")
        removed, self.entries = sorted(live_tokens(self.entries, now_s)), {}
        return removed


class FakePublished:
    def __init__(self) -> None:
        self.until = 0

    def announce(self, until_s: int) -> None:
        self.until = max(self.until, until_s)

    def until_s(self) -> int:
        return self.until


class FakeSigner:
    def sign(self, claims: Claims) -> str:
        return f"header.{claims.token_id}.signature-{claims.expires_s}"


class FakeAudit(Breakable):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[AuditEvent] = []

    def put(self, event: AuditEvent) -> None:
        self._called("put")
        self.events.append(event)


class FakeMails(Breakable):
    def __init__(self) -> None:
        super().__init__()
        self.queued: list[Mail] = []

    def queue(self, mail: Mail) -> bool:
        self._called("queue")
        self.queued.append(mail)
        return True


class FakePasswords:
    """The hash of a password is the password in brackets."""

    def hash(self, password: str, salt: bytes | None = None) -> str:
        return f"<{password}>"

    def verify(self, password_hash: str | None, password: str) -> bool:
        return password_hash == f"<{password}>"


class OpenThrottles:
    """Accepts every attempt, and records it as (method, policy name)."""

    remembers = True

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []
        self.good_until_ms = 0

    def take(self, key: str, policy: Policy, now_ms: int, units: int = 1) -> Counter:
        self.seen.append(("take", policy.name))
        return Counter(count=1)

    def peek(self, key: str) -> Counter:
        return Counter(good_until_ms=self.good_until_ms)

    def give_back(self, key: str, now_ms: int) -> None:
        self.seen.append(("give_back", key.partition("#")[0]))

    def succeeded(self, key: str, now_ms: int) -> None:
        self.seen.append(("succeeded", key.partition("#")[0]))
