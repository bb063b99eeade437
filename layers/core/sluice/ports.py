"""What the services ask of the outside. Unit tests pass in-memory fakes, integration tests the real adapters."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sluice.domain.accounts import Account, PendingCode, Role, Status
from sluice.domain.admission import Ask, Forms, Grant, Limits
from sluice.domain.audit import AuditEvent
from sluice.domain.chats import Chat, ChatMessage
from sluice.domain.contents import Exchange
from sluice.domain.leases import Lease
from sluice.domain.ledger import LedgerRecord
from sluice.domain.mails import Mail, Message, Suppression
from sluice.domain.measures import Measure
from sluice.domain.sessions import Session
from sluice.domain.spans import Span
from sluice.domain.throttles import Counter, Policy
from sluice.domain.tokens import ApiToken, Claims
from sluice.domain.usage import Amounts, Bucket


class AccountStore(Protocol):
    """Accounts by id and by normalised address. Every method may raise StoreUnavailable; reads are consistent."""

    def get(self, account_id: str) -> Account | None: ...

    def by_email(self, email_key: str) -> Account | None:
        """Takes as long for an unknown address as for a known one."""

    def create(self, account: Account, grant: Mapping[str, Any], mail: Mail) -> None:
        """All of it or nothing. Errors: AddressTaken."""

    def put_code(
        self,
        account: Account,
        purpose: str,
        code: PendingCode,
        mail: Mail,
        *,
        password_hash: str | None = None,
        name: str | None = None,
    ) -> None:
        """Errors: Conflict when the account is not as read any more."""

    def redeem_verification(self, account_id: str, mail_id: str, now_ms: int) -> None:
        """Errors: MailedCodeInvalid."""

    def redeem_reset(self, account: Account, mail_id: str, password_hash: str, now_ms: int) -> None:
        """Errors: MailedCodeInvalid."""

    def redeem_email_change(self, account: Account, code: PendingCode, notice: Mail, now_ms: int) -> None:
        """Errors: MailedCodeInvalid, AddressTaken."""

    def suppress_mail(self, email_key: str, reason: Suppression, now_ms: int) -> bool:
        """From now on no mail goes to this address. False where nobody has it. The first reason stays."""

    def mail_suppression(self, email_key: str) -> Suppression | None: ...

    def set_password(self, account: Account, password_hash: str) -> int:
        """Returns the new session epoch. Errors: Conflict."""

    def update_profile(self, account_id: str, *, name: str | None = None, store_content: bool | None = None) -> Account:
        """Errors: NotFound."""

    def page(self, query: str, *, limit: int, after_id: str | None, scanned: int) -> tuple[list[Account], str | None]:
        """Accounts whose address, name or id holds `query`, in no order, and where to go on.

        Looks at `scanned` entries at most: a page may be shorter than `limit`, or empty, and not be the last.
        """

    def set_status(self, account: Account, status: Status) -> None:
        """Errors: Conflict when the status is not as read any more."""

    def set_role(self, account_id: str, role: Role) -> None:
        """Errors: NotFound."""

    def begin_deletion(self, account_id: str, now_ms: int) -> Account | None:
        """No login from now on, mailed codes dead, the deletion noted for whoever finishes it. None if it is gone."""

    def end_deletion(self, account: Account) -> None:
        """The account and its address are free again. One that is gone already is no error."""

    def deletions(self) -> dict[str, int]:
        """Deletions that nobody has finished yet: account id → when it began, Unix ms."""

    def forget_deletion(self, account_id: str) -> None: ...


class AuditLog(Protocol):
    """What admins did, and what happened to the security of an account. All may raise StoreUnavailable."""

    def put(self, event: AuditEvent) -> None: ...

    def page(
        self, *, limit: int, before: tuple[str, str] | None, now_ms: int
    ) -> tuple[list[AuditEvent], tuple[str, str] | None]:
        """Newest first, and where to go on (day, event id). A page may be empty and not be the last."""

    def naming(self, account_id: str) -> Iterator[AuditEvent]:
        """By this account or on it."""

    def forget_client(self, account_id: str) -> None:
        """The network addresses go; the events stay."""


class MailStore(Protocol):
    """The mails to send. Every method may raise StoreUnavailable."""

    def get(self, mail_id: str) -> Mail | None:
        """A consistent read."""

    def queue(self, mail: Mail) -> bool:
        """Whether it is new: a mail of this id, sent or not, stays as it is."""

    def claim(self, mail: Mail, *, now_ms: int, until_ms: int) -> Mail:
        """Take it for sending. Errors: Conflict when it is not to be sent now, or someone else sends it."""

    def sent(self, mail: Mail, now_ms: int) -> None:
        """Errors: Conflict when the claim was lost, as for the two below."""

    def failed(self, mail: Mail, problem: str, now_ms: int) -> None: ...

    def put_back(self, mail: Mail, problem: str, due_ms: int) -> None: ...

    def overdue(self, before_ms: int, limit: int) -> list[str]: ...

    def touch(self, mail_id: str, now_ms: int) -> bool:
        """Show an overdue mail to the mailer again; False when it needs that no more."""

    def of_account(self, account_id: str) -> list[Mail]:
        """In no order; one of the last second may be missing, as for the next."""

    def erase_account(self, account_id: str) -> None: ...


class MailSender(Protocol):
    def send(self, message: Message, now_ms: int) -> None:
        """Errors: MailUndelivered (try again later), MailRefused (never)."""


class PasswordHashes(Protocol):
    """Slow on purpose. Errors of both: Overloaded."""

    def hash(self, password: str) -> str: ...

    def verify(self, password_hash: str | None, password: str) -> bool:
        """With no hash (an unknown address) the same work is done, and the answer is False."""


class SessionStore(Protocol):
    """All may raise StoreUnavailable."""

    def put(self, session: Session) -> None: ...

    def get(self, session_id: str) -> Session | None:
        """A consistent read."""

    def of_account(self, account_id: str) -> list[Session]:
        """In no order, ended and expired ones included; one of the last second may be missing."""

    def delete(self, session_id: str, account_id: str) -> None:
        """Errors: NotFound, also when it is another account's."""

    def change_password(self, account: Account, password_hash: str, kept_session_id: str) -> None:
        """The new password, and every session but one ended, at once. Errors: Conflict."""

    def erase_account(self, account_id: str, kept_session_id: str = "") -> None:
        """All sessions but one; one of the last second may be left."""


class TokenStore(Protocol):
    """The rows of API tokens. All may raise StoreUnavailable; reads are consistent."""

    def put(self, token: ApiToken) -> None: ...

    def get(self, account_id: str, token_id: str) -> ApiToken | None: ...

    def of_account(self, account_id: str) -> list[ApiToken]: ...

    def mark_revoked(self, account_id: str, token_id: str, now_ms: int) -> None:
        """Keeps the first moment; does nothing to a row that is gone."""

    def delete(self, account_id: str, token_id: str) -> None: ...

    def erase_account(self, account_id: str) -> None: ...


class GrantStore(Protocol):
    """Which API tokens are live, standing, limits. All may raise StoreUnavailable and NotFound (no such account)."""

    def live(self, account_id: str) -> dict[str, int]:
        """API token id → expiry in Unix seconds."""

    def add_live(self, account_id: str, token_id: str, expires_s: int, now_s: int) -> None:
        """Errors: TokenLimitReached."""

    def remove_live(self, account_id: str, token_id: str) -> None:
        """Refused from the next request on; idempotent."""

    def remove_all_live(self, account_id: str, now_s: int) -> list[str]:
        """The ids of those that were live until now."""

    def set_store_content(self, account_id: str, wanted: bool) -> None: ...

    def set_standing(self, account_id: str, standing: str) -> str:
        """`good` or `suspended`, from the next request and checkpoint on. Returns the standing until now."""

    def set_limits(self, account_id: str, before: Limits, after: Limits) -> None:
        """Errors: Conflict when they are not `before` any more."""

    def close(self, account_id: str) -> None:
        """For good: nothing live, suspended, nothing logged. No error where there is no grant."""


class TokenSigner(Protocol):
    def sign(self, claims: Claims) -> str: ...


class Throttles(Protocol):
    """Counters of attempts; keys by `sluice.domain.throttles.key`. All may raise StoreUnavailable."""

    remembers: bool
    """Whether anything is counted at all: else no place is known, and so none is new."""

    def take(self, key: str, policy: Policy, now_ms: int) -> Counter:
        """Count one attempt, before it is made: parallel ones gain nothing. Errors: TooManyAttempts."""

    def peek(self, key: str) -> Counter:
        """What is counted, without counting."""

    def give_back(self, key: str, now_ms: int) -> None:
        """The attempt turned out right: it does not count."""

    def succeeded(self, key: str, now_ms: int) -> None:
        """Forget the attempts, and remember that this key knew the password."""


@dataclass(frozen=True)
class Attempt:
    """One conditional write on a grant: whether it was made, and the grant after it, or as it stood in the way.

    `grant` is None only where the account has no grant.
    """

    made: bool
    grant: Grant | None


class HotStore(Protocol):
    """What every request needs of the store. All may raise StoreUnavailable; every write may be repeated safely."""

    def grant(self, account_id: str) -> Grant | None:
        """A consistent read."""

    def admit(self, ask: Ask, guess: Grant, forms: Forms, lease: Lease, now_ns: int) -> Attempt:
        """The one write that admits, in the forms guessed."""

    def checkpoint(self, account_id: str, request_id: str, lease: Lease, now_ms: int) -> Attempt:
        """Renew a lease and record its counts, while its API token is live and the account in good standing."""

    def release(self, account_id: str, request_id: str, lease: Lease, used_tokens: int, same_period: bool) -> Attempt:
        """Remove a lease that is still there and give back what was not used."""

    def block(self, grant: Grant, seconds: int, now_ms: int) -> Attempt:
        """Refuse the account everything for a while, unless another instance did so since `grant` was read."""

    def put_record(self, record: LedgerRecord) -> LedgerRecord:
        """Put if absent. Returns the record as stored: ours, or the one that was first."""

    def put_content(self, account_id: str, request_id: str, content: Exchange, now_ms: int, ttl_s: int) -> None:
        """Keep what was asked and answered, cut to size, until `ttl_s` (Unix seconds)."""


@dataclass(frozen=True)
class UpstreamCall:
    """One request to a model server that speaks OpenAI's protocol; `body` is the whole JSON to send."""

    path: str  # "/v1/chat/completions"
    body: Mapping[str, Any]
    request_id: str
    account_id: str
    deadline_seconds: float


class UpstreamStream(Protocol):
    """A streamed answer. Iterating yields the payload of each data event (bytes of JSON), or b"" for a ping.

    Errors while iterating: ModelUnavailable (broke off), UpstreamTimeout (silent too long). The counts are the
    engine's own, kept up to date while iterating.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None:
        """Stop the generation: the engine frees its slot within a token."""


class Upstream(Protocol):
    def open(self, call: UpstreamCall) -> UpstreamStream:
        """Errors: ModelUnavailable, Overloaded, UpstreamTimeout, InvalidModelRequest, ModelNotFound."""

    def fetch(self, call: UpstreamCall) -> dict[str, Any]:
        """An answer that is no stream (embeddings). Errors: as `open`."""

    def models(self) -> list[dict[str, Any]]:
        """OpenAI's model objects, each with `context_window` where the server tells. Errors: ModelUnavailable."""


class ModelServer(Protocol):
    """A model server as whoever looks after it sees it. Errors of both: ModelUnavailable."""

    def health(self) -> dict[str, Any]:
        """What it says of itself, and `http_status`."""

    def models(self) -> list[dict[str, Any]]: ...


class DeadLetters(Protocol):
    def waiting(self) -> Mapping[str, int]:
        """Events that were given up, by where they lie. Errors: StoreUnavailable."""


class LedgerReader(Protocol):
    """The ledger, one account's at a time. Reads are consistent. Errors: StoreUnavailable."""

    def get(self, account_id: str, request_id: str) -> LedgerRecord | None: ...

    def page(
        self,
        account_id: str,
        *,
        limit: int,
        before_id: str | None = None,
        span: Span | None = None,
        token_id: str | None = None,
        model: str | None = None,
        answered: bool | None = None,
    ) -> tuple[list[LedgerRecord], str | None]:
        """Newest first, and where to go on (`before_id` of the next page), None at the end.

        `answered`: those with status 200, or those with any other. With a filter that fits few records, a page may be
        shorter than asked for and not be the last.
        """

    def between(self, account_id: str, span: Span) -> Iterator[LedgerRecord]:
        """Every record of a span, oldest first. Errors: ValidationFailed when there are too many to wait for."""

    def everything(self, account_id: str) -> Iterator[LedgerRecord]:
        """Every record there is, oldest first, however long it takes: for reconciliation."""

    def unmarked(self, account_id: str, now_ms: int) -> list[LedgerRecord]:
        """The records that metering has not rolled up yet."""


class RollupStore(Protocol):
    """Usage by account, day, model and API token. Reads are consistent. Errors: StoreUnavailable."""

    def fold(self, records: Sequence[LedgerRecord], now_ms: int) -> bool:
        """Add records (1 to 99, all of one roll-up) to it and mark them, in one transaction.

        False, and nothing is written, when one of them was marked already.
        """

    def between(self, account_id: str, first_day: str, last_day: str) -> dict[Bucket, Amounts]:
        """Both days (`2026-11-20`) included."""

    def snapshot(self, account_id: str, bucket: Bucket, request_ids: Sequence[str]) -> tuple[Amounts, set[str]]:
        """A roll-up, and which of these records (99 at most) are marked, both as of one moment."""

    def everyones(self, first_day: str, last_day: str) -> tuple[dict[tuple[str, Bucket], Amounts], bool]:
        """By account and roll-up; and whether that is all: a very large table is not read to its end."""


class ContentStore(Protocol):
    """Logged prompts and responses. Errors: StoreUnavailable."""

    def exchanges(self, account_id: str, request_ids: Sequence[str], now_ms: int) -> dict[str, Exchange]:
        """What is kept of these requests (100 at most) and not expired, by request id."""

    def everything(self, account_id: str, now_ms: int) -> Iterator[dict[str, Any]]:
        """Logged texts, chats, stored Responses, as they are stored, expired ones left out."""

    def erase_account(self, account_id: str) -> None: ...


class TokenUses(Protocol):
    """When API tokens were last used. Errors: StoreUnavailable."""

    def used(self, account_id: str, token_id: str, used_ms: int) -> None:
        """The latest moment stays; a token that is not listed any more stays so."""


class Metrics(Protocol):
    """Figures of the running system: Prometheus on one machine, CloudWatch's embedded metric format on AWS.

    Cheap (microseconds) and safe from any thread; never raises for a store or a network. Labels are the measure's own.
    """

    def count(self, measure: Measure, amount: int = 1, **labels: str) -> None: ...

    def observe(self, measure: Measure, value: float, **labels: str) -> None: ...

    def change(self, measure: Measure, by: int, **labels: str) -> None:
        """Of a level: what runs now, in this process."""

    def flush(self) -> None:
        """At the end of a request or an event: write out what was collected, where that is needed."""


class BusyAccounts(Protocol):
    """The accounts with running requests. Errors: StoreUnavailable."""

    def accounts(self, shard: str) -> Iterator[str]:
        """Their ids. The list may lag: it holds some that are idle, and lacks those of the last moment."""

    def clear(self, account_id: str) -> bool:
        """Take an account that runs nothing off the list; False when it runs something, or was off it."""


class Accountant(Protocol):
    """What only reconciliation does. Errors: StoreUnavailable."""

    def accounts(self) -> Iterator[str]: ...

    def add_to_rollup(self, account_id: str, bucket: Bucket, by: Amounts) -> None: ...

    def add_to_quota(self, account_id: str, period: int, tokens: int) -> None:
        """Nothing where the grant is in another month by now."""


class DocumentStore(Protocol):
    """Named texts of an account, in the contents table: stored Responses, chats. All may raise StoreUnavailable."""

    def get_document(self, account_id: str, item_id: str, now_ms: int) -> dict[str, str] | None:
        """A consistent read; what has expired is None, whether or not the store has deleted it yet."""

    def put_document(self, account_id: str, item_id: str, document: Mapping[str, str], now_ms: int, ttl_s: int) -> None:
        """Put or replace."""

    def delete_document(self, account_id: str, item_id: str) -> None: ...


class ChatStore(Protocol):
    """Chats of the playground. All may raise StoreUnavailable; reads are consistent."""

    def put(self, chat: Chat) -> None: ...

    def get(self, account_id: str, chat_id: str) -> Chat | None: ...

    def all(self, account_id: str) -> list[Chat]: ...

    def update(self, chat: Chat) -> None:
        """Errors: NotFound."""

    def delete(self, account_id: str, chat_id: str) -> None:
        """With its messages. Deleting what is not there is no error."""

    def messages(self, account_id: str, chat_id: str) -> list[ChatMessage]:
        """Oldest first."""

    def add(self, account_id: str, chat_id: str, message: ChatMessage) -> None: ...

    def remove(self, account_id: str, chat_id: str, messages: Sequence[ChatMessage]) -> None: ...
