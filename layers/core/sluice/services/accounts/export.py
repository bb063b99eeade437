"""Everything held about a person as JSON, in pieces, so that long lists are never held in memory."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from sluice.domain.documents.document import VectorStore
from sluice.domain.errors import NotFound
from sluice.domain.periods import rfc3339
from sluice.domain.usage.refusals import RefusedDay
from sluice.domain.webhooks import SHOWN_DELIVERIES, Webhook
from sluice.ports.accounts import AccountStore, AuditLog, SessionStore
from sluice.ports.documents import FileStore, VectorStoreStore
from sluice.ports.gateway import ContentStore, HotStore
from sluice.ports.mails import MailStore
from sluice.ports.payments import PayerStore
from sluice.ports.tokens import TokenStore
from sluice.ports.usage import LedgerReader, RefusalStore
from sluice.ports.webhooks import WebhookStore

T = TypeVar("T")
PAGE = 100
# Not personal data: keys of the store, expiry times, hashes of secrets.
INTERNAL = frozenset({"account_id", "schema", "ttl_s", "secret_hash", "epoch", "password_hash", "item_id"})

NOT_PLAIN = frozenset({"codes", "email_key", "session_epoch", "factors", "recovery", "identities"})  # of an account
OF_WEBHOOK = frozenset({"secret", "old_secret", "old_until_ms", "news"})
SECRET = frozenset({"secret", "last_step", "public_key"})  # of a second factor


@dataclass(frozen=True)
class Export:
    accounts: AccountStore
    sessions: SessionStore
    tokens: TokenStore
    grants: HotStore
    ledger: LedgerReader
    contents: ContentStore
    mails: MailStore
    audit: AuditLog
    files: FileStore
    vector_stores: VectorStoreStore
    refusals: RefusalStore
    webhooks: WebhookStore
    payers: PayerStore

    def document(self, account_id: str, now_ms: int) -> Iterator[bytes]:
        """One JSON object, in pieces. Errors: NotFound; and during iteration, StoreUnavailable."""
        account, grant = self.accounts.get(account_id), self.grants.grant(account_id)
        if account is None or grant is None:
            raise NotFound()
        payer = self.payers.payer(account_id)
        found = self.contents.everything(account_id, now_ms)
        mails = self.mails.of_account(account_id)
        files = _paged(self.files.page, account_id, lambda file: file.file_id)
        stores = _paged(self.vector_stores.page, account_id, lambda store: store.store_id)
        kept = _plain(asdict(account), without=NOT_PLAIN)
        parts: dict[str, Any] = {
            "exported_at": rfc3339(now_ms),
            "account": {"id": account_id, **kept},
            "limits": asdict(grant.limits),
            "quota": {"period": grant.period, "tokens": grant.period_tokens},
            "payment": {"stripe_customer": payer.customer or None, "plan": payer.paid or None} if payer else None,
            "factors": [_plain(asdict(one), without=SECRET) for one in account.factors.values()],
            "identities": [_plain(asdict(one)) for one in account.identities.values()],
            "recovery_codes_left": len(account.recovery),
            "sessions": (_plain(asdict(one)) for one in self.sessions.of_account(account_id)),
            "tokens": (_plain(asdict(one)) for one in self.tokens.of_account(account_id)),
            "requests": (_plain(asdict(one)) for one in self.ledger.everything(account_id)),
            "contents": ({"id": one["item_id"], **_plain(one)} for one in found),
            "mails": (_plain(asdict(one), without={"attempts", "due_ms"}) for one in mails),
            "files": (_plain(asdict(one)) for one in files),
            "vector_stores": (self._vector_store(one) for one in stores),
            "refusals": (_refused_day(one) for one in self.refusals.between(account_id, "", "~")),
            "webhooks": (self._webhook(one) for one in self.webhooks.of_account(account_id)),
            "audit": (_plain(asdict(one)) for one in self.audit.naming(account_id)),
        }
        return _pieces(parts)

    def _webhook(self, webhook: Webhook) -> dict[str, Any]:
        told = self.webhooks.deliveries(webhook, SHOWN_DELIVERIES)
        events = (_plain({**asdict(one), "event": _plain(asdict(one.event))}) for one in told)
        return {**_plain(asdict(webhook), without=OF_WEBHOOK), "deliveries": events}

    def _vector_store(self, store: VectorStore) -> dict[str, Any]:
        held = self.vector_stores.attachments(store.account_id, store.store_id)
        return {**_plain(asdict(store)), "files": (_plain(asdict(one)) for one in held)}


def _paged(page: Callable[..., list[T]], account_id: str, id_of: Callable[[T], str]) -> Iterator[T]:
    """Every item of a list that is read page by page."""
    found = page(account_id, limit=PAGE, after_id=None)
    while found:
        yield from found
        found = page(account_id, limit=PAGE, after_id=id_of(found[-1]))


def _pieces(value: object) -> Iterator[bytes]:
    """JSON in pieces. An iterator becomes a list, of which one item at a time is in memory."""
    if isinstance(value, Iterator):
        before = b"["
        for one in value:
            yield before
            yield from _pieces(one)
            before = b","
        yield b"[]" if before == b"[" else b"]"
    elif isinstance(value, dict) and any(isinstance(one, Iterator) for one in value.values()):
        before = b"{"
        for name, one in value.items():
            yield before + _json(name) + b":"
            yield from _pieces(one)
            before = b","
        yield b"}"
    else:
        yield _json(value)


def _refused_day(refused: RefusedDay) -> dict[str, Any]:
    counts = [{"token_id": token, "code": code, "count": count} for (token, code), count in refused.counts.items()]
    return {"day": refused.day, "counts": counts, "last": [_plain(asdict(one)) for one in refused.last]}


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode()


def _plain(fields: Mapping[str, Any], without: frozenset[str] | set[str] = frozenset()) -> dict[str, Any]:
    """Convert moments (`…_ms`) to the account API's form (`…_at`, RFC 3339); durations stay in milliseconds."""
    plain: dict[str, Any] = {}
    for name, value in fields.items():
        if name in INTERNAL or name in without:
            continue
        if name in MOMENTS:
            plain[name.removesuffix("_ms") + "_at"] = None if value is None else rfc3339(value)
        else:
            plain[name] = value
    return plain


MOMENTS = frozenset(
    {
        "created_ms",
        "at_ms",
        "verified_ms",
        "terms_ms",
        "expires_ms",
        "revoked_ms",
        "last_used_ms",
        "sent_ms",
        "rolled_up_ms",
        "updated_ms",
    }
    | {"proven_ms", "factor_ms"}  # of a session
    | {"failing_ms", "due_ms", "until_ms", "next_ms", "last_ms"}  # of a webhook and its deliveries
    | {"last_active_ms"}  # of a vector store
)
