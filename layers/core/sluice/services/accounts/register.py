"""Register: the account, its unique address, its grant and its verification mail, in one transaction.

Neither the answer nor its time shows whether an address is known, because in every case the password is hashed once,
the store is read equally often, and it is written once.

A stranger may register an address before its owner. So each mailed link makes its own registration's password, name and
spelling the account's, up to three registrations stay valid beside each other, and no later one replaces the oldest
(docs/adr/0082).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from sluice.domain.accounts.account import (
    MAX_REGISTRATIONS,
    UNVERIFIED_MS,
    Account,
    Address,
    Registered,
    parse_address,
)
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import Conflict, Forbidden, Unavailable
from sluice.domain.gateway.grants import new_grant
from sluice.domain.ids import random_id
from sluice.domain.mails.mail import Kind, Mail, new_mail
from sluice.domain.periods import day_of, rfc3339
from sluice.ports.accounts import AccountStore
from sluice.ports.mails import MailStore
from sluice.services.accounts.may_join import domain_problem, why_not
from sluice.services.accounts.new_passwords import NewPasswords
from sluice.services.accounts.registered_fields import checked
from sluice.services.mails.queue import queue_mail, queue_nothing
from sluice.services.mails.throttle import MailThrottle

DOUBLE_CLICK_MS = 1_000
UNSENT_MS = 10_000  # how long an unsent mail counts as under way, also if the mail server is down
UNSENT = "queued", "sending"
ATTEMPTS = 5  # others may register the same address at the same time, but at most three of them change it


@dataclass(frozen=True)
class Registration:
    """`limits`: of a new account. `site`: the owner's word on who may have one."""

    accounts: AccountStore
    mails: MailStore
    throttle: MailThrottle
    passwords: NewPasswords
    limits: Callable[[], Mapping[str, Any]]
    """Of `new_grant`."""
    site: Callable[[], Any]
    """→ its `sign_up` and `sign_up_domains`."""

    def register(self, email: str, password: str, name: str | None, visitor: Visitor) -> None:
        """Errors: Forbidden (nobody may sign up), ValidationFailed (with every problem), TooManyAttempts (of this
        client), Overloaded, Unavailable. A known address is not an error."""
        site, now_ms, known_kind = self.site(), visitor.now_ms, Kind.VERIFY_EMAIL
        if why := why_not(site, None, now_ms):
            raise Forbidden(why)
        address, name = checked(
            self.passwords, email, password, name, lambda given: domain_problem(site, given, None, now_ms)
        )
        account = self.accounts.by_email(address.key, now_ms)
        if account and account.status != "pending":
            known_kind = Kind.ALREADY_REGISTERED
        # Refuse a client that asks too often before computing a hash for it.
        allowed = self.throttle.allows(address.key, known_kind, visitor, mails=_mails_due(account, now_ms))
        password_hash = self.passwords.hash(password, _salt(address, now_ms))
        mine = Registered(password_hash, name, address.given, now_ms, 0)
        for _ in range(ATTEMPTS):
            if self._is_repeated(account, mine):
                queue_nothing(self.mails, now_ms)
                return
            try:
                self._put(account, address, mine, visitor.language, allowed=allowed)
                return
            except Conflict:  # a concurrent registration of the address was first
                account = self.accounts.by_email(address.key, now_ms)
        raise Unavailable()

    def resend(self, email: str, visitor: Visitor) -> None:
        """Send the links of all registrations again, to pending accounts only. The result is the same for every
        address. Errors: Forbidden (nobody may sign up), ValidationFailed, TooManyAttempts, StoreUnavailable."""
        site = self.site()
        if why := why_not(site, None, visitor.now_ms):
            raise Forbidden(why)
        address = parse_address(email)
        account = self.accounts.by_email(address.key, visitor.now_ms)
        known = _pending(account)
        allowed = self.throttle.allows(address.key, Kind.VERIFY_EMAIL, visitor, mails=len(known) or 1)
        if allowed and account and known and not domain_problem(site, address, account, visitor.now_ms):
            self._repeat(account, visitor.now_ms, visitor.language)
        else:
            queue_nothing(self.mails, visitor.now_ms)

    def _is_repeated(self, account: Account | None, mine: Registered) -> bool:
        """Whether this is the double click or retry of a registration whose mail is under way.

        Another password is another person's, or a correction, and never a repetition. The same password has the same
        hash (`_salt`), so no second hash is computed. The mail is read in any case, so that a known address costs the
        same reads as an unknown one.
        """
        known = _pending(account)
        newest = max(known, key=lambda mail_id: known[mail_id].created_ms, default="mail_none")
        window_ms = UNSENT_MS if _is_unsent(self.mails.get(newest)) else DOUBLE_CLICK_MS
        recent = [one for one in known.values() if one.created_ms > mine.created_ms - window_ms]
        if recent and len(known) == MAX_REGISTRATIONS:
            return True
        return any(one.password_hash == mine.password_hash for one in recent)

    def _put(
        self, account: Account | None, address: Address, mine: Registered, language: str, *, allowed: bool
    ) -> None:
        """Errors: Conflict."""
        now_ms = mine.created_ms
        if account is None:
            self._create(address, mine, language)
        elif not allowed:
            queue_nothing(self.mails, now_ms)
        elif account.status != "pending":
            queue_mail(Kind.ALREADY_REGISTERED, account, mails=self.mails, now_ms=now_ms, language=language)
        elif (kept := _with_room(account.registrations, now_ms)) is not None:
            mail = _link(account, mine, now_ms, language)
            mine = replace(mine, expires_ms=mail.expires_ms)
            self.accounts.put_registrations(account, {**kept, mail.mail_id: mine}, [mail])
        else:
            self._repeat(account, now_ms, language)

    def _repeat(self, account: Account, now_ms: int, language: str) -> None:
        known = account.registrations
        mails = [replace(_link(account, known[mail_id], now_ms, language), repeats=mail_id) for mail_id in known]
        longer = {mail.repeats: replace(known[mail.repeats], expires_ms=mail.expires_ms) for mail in mails}
        try:
            self.accounts.put_registrations(account, longer, mails)
        except Conflict:
            return  # a concurrent request queued its mails first

    def _create(self, address: Address, mine: Registered, language: str) -> None:
        now_ms = mine.created_ms
        account = Account(
            account_id=random_id("usr_"),
            email=mine.email,
            email_key=address.key,
            name=mine.name,
            password_hash=mine.password_hash,
            created_ms=now_ms,
            ttl_s=(now_ms + UNVERIFIED_MS) // 1000,
        )
        mail = _link(account, mine, now_ms, language)
        account = replace(account, registrations={mail.mail_id: replace(mine, expires_ms=mail.expires_ms)})
        grant = new_grant(account.account_id, **self.limits(), now_ms=now_ms) | {"ttl_s": account.ttl_s}
        self.accounts.create(account, grant, mail)


def _salt(address: Address, now_ms: int) -> bytes:
    """The salt of a registration's password: another one for each address and each day (docs/adr/0082).

    It is no secret, as no salt is. The day keeps anybody from computing hashes for an address long in advance.
    """
    return sha256(f"sluice registration 1\0{address.key}\0{day_of(now_ms)}".encode()).digest()[:16]


def _pending(account: Account | None) -> Mapping[str, Registered]:
    return account.registrations if account and account.status == "pending" else {}


def _with_room(known: Mapping[str, Registered], now_ms: int) -> dict[str, Registered] | None:
    """The registrations that stay beside a new one. A full list loses one whose link has expired; None if all live."""
    dead = [mail_id for mail_id, one in known.items() if one.expires_ms <= now_ms]
    if len(known) < MAX_REGISTRATIONS:
        return dict(known)
    oldest = min(dead, key=lambda mail_id: known[mail_id].created_ms, default=None)
    return {mail_id: one for mail_id, one in known.items() if mail_id != oldest} if oldest else None


def _mails_due(account: Account | None, now_ms: int) -> int:
    """How many mails a registration sends: its own link, or every link where it finds no room."""
    known = _pending(account)
    return len(known) if _with_room(known, now_ms) is None else 1


def _link(account: Account, one: Registered, now_ms: int, language: str) -> Mail:
    """The mail with a registration's link, which lives no longer than the account."""
    told: dict[str, Any] = {"data": {"when": rfc3339(one.created_ms)}, "language": account.language or language}
    mail = new_mail(Kind.VERIFY_EMAIL, account_id=account.account_id, to=one.email, now_ms=now_ms, **told)
    ends_ms = (account.ttl_s or 0) * 1000
    return replace(mail, expires_ms=min(mail.expires_ms, ends_ms)) if ends_ms else mail


def _is_unsent(mail: Mail | None) -> bool:
    return mail is not None and mail.state in UNSENT
