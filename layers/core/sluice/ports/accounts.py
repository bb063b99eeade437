"""Accounts, sessions, passwords, throttles and the audit log."""

from __future__ import annotations  # a port is imported without the domain that it speaks of (ADR 85)

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sluice.domain.accounts.account import Account, Identity, Invitation, PendingCode, Registered, Role, Status
    from sluice.domain.accounts.audit import AuditEvent
    from sluice.domain.accounts.factors import Factor, Question, SignedBy
    from sluice.domain.accounts.identities import Claimed, Started
    from sluice.domain.accounts.sessions import Session
    from sluice.domain.accounts.throttles import Counter, Policy
    from sluice.domain.mails.mail import Mail, Suppression


class AccountStore(Protocol):
    """Accounts by id and by normalised address. Every method may raise StoreUnavailable; reads are consistent."""

    def get(self, account_id: str) -> Account | None: ...

    def by_email(self, email_key: str, now_ms: int) -> Account | None:
        """Takes the same time for known and unknown addresses. An unverified account that has ended is None."""

    def create(self, account: Account, grant: Mapping[str, Any], mail: Mail | None) -> None:
        """Write account, grant and mail, if there is one, in one transaction. Errors: AddressTaken.

        The address is free if its last account has ended by this account's `created_ms`."""

    def put_code(self, account: Account, purpose: str, code: PendingCode, mail: Mail) -> None:
        """Errors: Conflict when the account changed since it was read."""

    def put_registrations(self, account: Account, registrations: Mapping[str, Registered], mails: list[Mail]) -> None:
        """Replace all registrations of an unverified account and queue mails. Errors: Conflict when they changed since
        they were read, or the account is verified."""

    def put_invitation(self, account: Account, invitation: Invitation, mail: Mail) -> None:
        """Of an unverified account, which then lives as long: its plan, and the one valid code with its mail. Errors:
        Conflict when the account was verified or withdrawn, or its invitation changed, since it was read."""

    def redeem_invitation(self, account: Account, password_hash: str, name: str, now_ms: int) -> None:
        """By the code of the invitation in `account`. Errors: MailedCodeInvalid."""

    def withdraw_invitation(self, account: Account) -> None:
        """The account goes with it, except one that somebody registered. Errors: Conflict, as `put_invitation`."""

    def by_identity(self, identity_id: str) -> Account | None: ...

    def adopt(self, account: Account, identity: Identity, now_ms: int) -> None:
        """An unverified account becomes active without a password, with the name and spelling in `account`. Errors:
        Conflict (verified or ended meanwhile, or the identity is linked)."""

    def link(self, account: Account, identity: Identity) -> None:
        """Errors: Conflict (it is linked, there are as many as there may be, or the account changed meanwhile)."""

    def unlink(self, account: Account, identity_id: str) -> None:
        """Errors: NotFound (it is not the account's, or its last way in)."""

    def redeem_verification(self, account: Account, mail_id: str, now_ms: int) -> None:
        """Errors: MailedCodeInvalid."""

    def redeem_reset(
        self, account: Account, mail_id: str, password_hash: str, now_ms: int, *, keep_tokens: bool
    ) -> None:
        """An unverified account becomes active with the name and spelling in `account`. Errors: MailedCodeInvalid."""

    def redeem_email_change(self, account: Account, code: PendingCode, notice: Mail, now_ms: int) -> None:
        """Errors: MailedCodeInvalid, AddressTaken."""

    def suppress_mail(self, email_key: str, reason: Suppression, now_ms: int) -> bool:
        """Send no more mail to this address; a first reason stays. False if no account has the address."""

    def mail_suppression(self, email_key: str) -> Suppression | None: ...

    def update_profile(self, account_id: str, changes: Mapping[str, str | bool | int]) -> None:
        """`changes`: by the names of Account's fields. Errors: NotFound."""

    def page(
        self, query: str, *, limit: int, after_id: str | None, scanned: int, invited: bool = False
    ) -> tuple[list[Account], str | None]:
        """Accounts whose address, name or id contains `query`, unordered, and the `after_id` of the next page.
        `invited`: only those that wait with an invitation.

        It reads at most `scanned` entries, so a page may be shorter than `limit`, or empty, and not be the last.
        """

    def set_status(self, account: Account, status: Status) -> None:
        """Errors: Conflict when the status changed since it was read."""

    def set_role(self, account_id: str, role: Role) -> None:
        """Errors: NotFound."""

    def begin_deletion(self, account_id: str, now_ms: int) -> Account | None:
        """Refuse logins and mailed codes, and record the deletion so that it is finished later. None if it is gone."""

    def end_deletion(self, account: Account) -> None:
        """Delete the account and free its address. An account that is already gone is not an error."""

    def deletions(self) -> dict[str, int]:
        """Unfinished deletions: account id → when the deletion began, Unix ms."""

    def forget_deletion(self, account_id: str) -> None: ...


class UsedQuotas(Protocol):
    """What was used of a month's quota by the account that had an address. Both methods may raise StoreUnavailable."""

    def put(self, email_key: str, period: int, tokens: int) -> None:
        """Keep it until the month ends."""

    def get(self, email_key: str, period: int) -> int: ...


class AuditLog(Protocol):
    """What admins did, and what happened to an account's security. All methods may raise StoreUnavailable."""

    def put(self, event: AuditEvent) -> None: ...

    def page(
        self, *, limit: int, before: tuple[str, str] | None, now_ms: int
    ) -> tuple[list[AuditEvent], tuple[str, str] | None]:
        """Newest first, and the `before` (day, event id) of the next page. A page may be empty and not the last."""

    def naming(self, account_id: str) -> Iterator[AuditEvent]:
        """Events with this account as actor or target."""

    def forget_client(self, account_id: str) -> None:
        """Remove the network addresses from this account's events."""


class PasswordHashes(Protocol):
    """Hashes that are slow on purpose. Errors of both methods: Overloaded."""

    def hash(self, password: str, salt: bytes | None = None) -> str:
        """`salt`: 16 bytes, random by default. The same password with the same salt has the same hash."""

    def verify(self, password_hash: str | None, password: str) -> bool:
        """Without a hash (unknown address) it does the same work, for the same time, and returns False."""


class SessionStore(Protocol):
    """All methods may raise StoreUnavailable."""

    def put(self, session: Session) -> None: ...

    def get(self, session_id: str) -> Session | None:
        """A consistent read."""

    def of_account(self, account_id: str) -> list[Session]:
        """Unordered, including ended and expired sessions. A session of the last second may be missing."""

    def delete(self, session_id: str, account_id: str) -> None:
        """Errors: NotFound, also when the session belongs to another account."""

    def change_password(self, account: Account, password_hash: str, kept_session_id: str) -> None:
        """Set the password and end every other session in one transaction. Errors: Conflict."""

    def end_others(self, account: Account, kept_session_id: str) -> None:
        """End every other session, in one transaction. Errors: Conflict."""

    def mark_shown(self, session_id: str, account_id: str, name: str, now_ms: int) -> None:
        """`name`: `proven_ms` or `factor_ms`. Errors: NotFound (the session has ended)."""

    def erase_account(self, account_id: str, kept_session_id: str = "") -> None:
        """Delete all sessions except `kept_session_id`. A session of the last second may remain."""


class FactorStore(Protocol):
    """Second factors and the questions they answer. All methods may raise StoreUnavailable."""

    def ask(self, question: Question) -> None:
        """Replaces an earlier question with this key."""

    def asked(self, key: str) -> Question | None: ...

    def count_try(self, key: str, now_ms: int) -> Question:
        """Counted before an answer is checked, so that parallel tries gain nothing. Errors: ChallengeInvalid (none,
        expired, or tried too often)."""

    def forget(self, key: str) -> None: ...

    def take(self, key: str) -> Question | None:
        """Once: of several calls one gets it."""

    def add(self, account: Account, factor: Factor, recovery: Mapping[str, int]) -> None:
        """`recovery`: hashes of the codes that come with the first factor. Errors: Conflict (others changed what was
        read, or the account has as many as it may have)."""

    def remove(self, account: Account, factor_id: str) -> None:
        """The recovery codes go with the last. Errors: NotFound."""

    def remove_all(self, account_id: str) -> bool:
        """→ whether there were any."""

    def renew_recovery(self, account: Account, recovery: Mapping[str, int]) -> None:
        """Errors: Conflict (no factor is set up)."""

    def spend_step(self, account: Account, factor_id: str, step: int, now_ms: int, answered: str = "") -> None:
        """A time step counts once. `answered`: the key of the question that ends with it. Errors: WrongFactor."""

    def spend_recovery(self, account: Account, code_hash: str, answered: str = "") -> None:
        """Errors: WrongFactor."""

    def spend_passkey(self, account: Account, signed: SignedBy, now_ms: int, answered: str) -> None:
        """Errors: WrongFactor."""


class Passkeys(Protocol):
    """WebAuthn (https://www.w3.org/TR/webauthn-3/). Challenges are base64url; options are as browsers take them."""

    def origin(self) -> str | None:
        """The one origin whose pages may use passkeys; None where browsers make none: the base URL is a number."""

    def new_options(self, account: Account, challenge: str, site: str) -> dict[str, Any]: ...

    def registered(self, credential: Mapping[str, Any], challenge: str, name: str, now_ms: int) -> Factor:
        """Errors: PasskeyRefused."""

    def options(self, account: Account, challenge: str) -> dict[str, Any]: ...

    def signed_by(self, account: Account, credential: Mapping[str, Any], challenge: str) -> SignedBy:
        """Errors: PasskeyRefused, PasskeyCopied."""


class Provider(Protocol):
    """Another site that says who somebody is. Errors of both methods: ProviderUnavailable."""

    name: str
    title: str

    def address(self, started: Started, back: str) -> str:
        """Where the browser goes. `back`: the one address that it may return to."""

    def claimed(self, started: Started, answer: Mapping[str, str], back: str) -> Claimed:
        """`answer`: the query that the browser came back with. Errors: SignInRefused."""


class SecretBox(Protocol):
    """Encrypts small secrets before they are stored. Errors of both methods: Unavailable (no key)."""

    def seal(self, secret: str, owner: str) -> str: ...

    def open(self, sealed: str, owner: str) -> str:
        """Errors: ValueError (another key, or another owner's)."""


class Throttles(Protocol):
    """Counters of attempts, by `sluice.domain.accounts.throttles.key`. All methods may raise StoreUnavailable."""

    remembers: bool
    """False where throttles are off. Then no client has a history, so no client can be called new."""

    def take(self, key: str, policy: Policy, now_ms: int, units: int = 1) -> Counter:
        """Count an attempt, as so many, before it is made, so that parallel attempts gain nothing.
        Errors: TooManyAttempts."""

    def peek(self, key: str) -> Counter:
        """Read the counter without counting."""

    def give_back(self, key: str, now_ms: int) -> None:
        """Take back one attempt that turned out to be right."""

    def succeeded(self, key: str, now_ms: int) -> None:
        """Forget the attempts, and record that this key knew the password."""
