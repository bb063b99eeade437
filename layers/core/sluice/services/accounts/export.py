"""Everything held about a person as JSON, in pieces, so that long lists are never held in memory."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sluice.domain.documents.document import VectorStore
from sluice.domain.errors import NotFound
from sluice.domain.periods import rfc3339
from sluice.domain.usage.refusals import RefusedDay
from sluice.ports.accounts import AccountStore, AuditLog, SessionStore
from sluice.ports.documents import FileStore, VectorStoreStore
from sluice.ports.gateway import ContentStore, HotStore
from sluice.ports.mails import MailStore
from sluice.ports.tokens import TokenStore
from sluice.ports.usage import LedgerReader, RefusalStore

ALL = 100_000  # an account may have 10,000 files
Part = Mapping[str, Any] | Iterator[Mapping[str, Any]]
# Not personal data: keys of the store, expiry times, hashes of secrets.
INTERNAL = frozenset({"account_id", "schema", "ttl_s", "secret_hash", "epoch", "password_hash", "item_id"})


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

    def document(self, account_id: str, now_ms: int) -> Iterator[bytes]:
        """One JSON object, in pieces. Errors during iteration: NotFound, StoreUnavailable."""
        yield b'{"exported_at":' + _json(rfc3339(now_ms))
        for name, part in self._parts(account_id, now_ms):
            yield b"," + _json(name) + b":"
            yield from _listed(part) if isinstance(part, Iterator) else [_json(part)]
        yield b"}"

    def _parts(self, account_id: str, now_ms: int) -> Iterator[tuple[str, Part]]:
        """Name and content of each part; long contents are iterators."""
        account, grant = self.accounts.get(account_id), self.grants.grant(account_id)
        if account is None or grant is None:
            raise NotFound()
        yield "account", {"id": account_id, **_plain(asdict(account), without={"codes", "email_key", "session_epoch"})}
        yield "limits", asdict(grant.limits)
        yield "quota", {"period": grant.period, "tokens": grant.period_tokens}
        yield "sessions", (_plain(asdict(one)) for one in self.sessions.of_account(account_id))
        yield "tokens", (_plain(asdict(one)) for one in self.tokens.of_account(account_id))
        yield "requests", (_plain(asdict(one)) for one in self.ledger.everything(account_id))
        found = self.contents.everything(account_id, now_ms)
        yield "contents", ({"id": one["item_id"], **_plain(one)} for one in found)
        yield (
            "mails",
            (_plain(asdict(one), without={"attempts", "due_ms"}) for one in self.mails.of_account(account_id)),
        )
        yield "files", (_plain(asdict(one)) for one in self.files.page(account_id, limit=ALL, after_id=None))
        found_stores = self.vector_stores.page(account_id, limit=ALL, after_id=None)
        yield "vector_stores", (self._vector_store(one) for one in found_stores)
        yield "refusals", (_refused_day(one) for one in self.refusals.between(account_id, "", "~"))
        yield "audit", (_plain(asdict(one)) for one in self.audit.naming(account_id))

    def _vector_store(self, store: VectorStore) -> dict[str, Any]:
        held = self.vector_stores.attachments(store.account_id, store.store_id)
        return {**_plain(asdict(store)), "files": [_plain(asdict(one)) for one in held]}


def _refused_day(refused: RefusedDay) -> dict[str, Any]:
    counts = [{"token_id": token, "code": code, "count": count} for (token, code), count in refused.counts.items()]
    return {"day": refused.day, "counts": counts, "last": [_plain(asdict(one)) for one in refused.last]}


def _listed(items: Iterator[Mapping[str, Any]]) -> Iterator[bytes]:
    before = b"["
    for one in items:
        yield before + _json(one)
        before = b","
    yield b"[]" if before == b"[" else b"]"


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
        "expires_ms",
        "revoked_ms",
        "last_used_ms",
        "sent_ms",
        "rolled_up_ms",
        "updated_ms",
    }
    | {"last_active_ms"}  # of a vector store
)
