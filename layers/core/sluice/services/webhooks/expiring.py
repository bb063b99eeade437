"""Say once, a week before, that an API token expires: to webhooks, and by mail where the account wants it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sluice.domain.mails.mail import Kind
from sluice.domain.periods import rfc3339
from sluice.domain.webhooks import EXPIRY_NOTICE_MS
from sluice.ports.accounts import AccountStore
from sluice.ports.mails import MailStore
from sluice.ports.tokens import TokenStore
from sluice.ports.webhooks import WebhookStore
from sluice.services.mails.queue import queue_mail


@dataclass(frozen=True)
class Expiring:
    tokens: TokenStore
    store: WebhookStore
    accounts: AccountStore
    mails: MailStore
    announce: Callable[[str, str, dict[str, Any], int], None]
    clock_ms: Callable[[], int]

    def __call__(self, account_id: str, token_id: str) -> None:
        """Not of one that was revoked, rotated or deleted, or that has expired already. The reminder goes last, so that
        a crash repeats all of it. Errors: StoreUnavailable."""
        token, now_ms = self.tokens.get(account_id, token_id), self.clock_ms()
        account = self.accounts.get(account_id)
        if token and account and token.revoked_ms is None and token.ends_ms is None and token.expires_ms > now_ms:
            ends = rfc3339(token.expires_ms)
            about = {"id": token_id, "expires_at": ends}
            self.announce(account_id, "token.expiring", about, token.expires_ms - EXPIRY_NOTICE_MS)
            if account.wants_mail("token.expiring"):
                told = {"name": token.name, "when": ends}
                queue_mail(Kind.TOKEN_EXPIRING, account, mails=self.mails, now_ms=now_ms, data=told, once=(token_id,))
        self.store.forget(account_id, token_id)
