"""Register: the account, its unique address, its grant and its verification mail, in one transaction.

Neither the answer nor its time shows whether an address is known, because in every case the password is hashed, the
store is read equally often, and it is written once.
"""

from dataclasses import asdict, dataclass

from sluice.domain.accounts.account import Account, Address, AddressTaken, PendingCode, parse_address, parse_name
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import FieldProblem, ValidationFailed
from sluice.domain.gateway.admission import Limits
from sluice.domain.gateway.grants import new_grant
from sluice.domain.ids import random_id
from sluice.domain.mails.mail import Kind, Mail, new_mail
from sluice.ports.accounts import AccountStore
from sluice.ports.mails import MailStore
from sluice.services.accounts.new_passwords import NewPasswords
from sluice.services.mails.queue import queue_code, queue_mail, queue_nothing
from sluice.services.mails.throttle import MailThrottle

DOUBLE_CLICK_MS = 1_000
# How long an unsent mail counts as under way. It is short even if the mail server is down, because the first password
# stays until then, and a stranger may have chosen it: the owner's click must not verify that registration.
UNSENT_MS = 10_000
UNSENT = "queued", "sending"


@dataclass(frozen=True)
class Registration:
    """`limits`: of a new account."""

    accounts: AccountStore
    mails: MailStore
    throttle: MailThrottle
    passwords: NewPasswords
    limits: Limits

    def register(self, email: str, password: str, name: str | None, visitor: Visitor) -> None:
        """Errors: ValidationFailed (with every problem), TooManyAttempts (of this client), Overloaded,
        StoreUnavailable. A known address is not an error."""
        address, name = self._checked(email, password, name)
        now_ms, known_kind = visitor.now_ms, Kind.VERIFY_EMAIL
        account = self.accounts.by_email(address.key)
        if account and account.status != "pending":
            known_kind = Kind.ALREADY_REGISTERED
        # Refuse a client that asks too often before computing a hash for it.
        allowed = self.throttle.allows(address.key, known_kind, visitor)
        password_hash = self.passwords.hash(password)
        under_way = self._under_way(account, now_ms)
        if account is None:
            self._create(address, name, password_hash, now_ms)
        elif not allowed or under_way:
            queue_nothing(self.mails, now_ms)
        elif account.status == "pending":
            # A stranger may have registered the address first, so a link verifies only its own registration.
            queue_code(
                Kind.VERIFY_EMAIL,
                account,
                accounts=self.accounts,
                now_ms=now_ms,
                password_hash=password_hash,
                name=name,
            )
        else:
            queue_mail(Kind.ALREADY_REGISTERED, account, mails=self.mails, now_ms=now_ms)

    def resend(self, email: str, visitor: Visitor) -> None:
        """Send the verification mail again, to pending accounts only. The result is the same for every address.
        Errors: ValidationFailed, TooManyAttempts, StoreUnavailable."""
        address = parse_address(email)
        allowed = self.throttle.allows(address.key, Kind.VERIFY_EMAIL, visitor)
        account = self.accounts.by_email(address.key)
        if allowed and account and account.status == "pending":
            queue_code(Kind.VERIFY_EMAIL, account, accounts=self.accounts, now_ms=visitor.now_ms)
        else:
            queue_nothing(self.mails, visitor.now_ms)

    def _checked(self, email: str, password: str, name: str | None) -> tuple[Address, str]:
        problems: list[FieldProblem] = []
        address, display = Address("", ""), ""
        try:
            address = parse_address(email)
        except ValidationFailed as exc:
            problems += exc.problems
        problem = self.passwords.problem(password, address.local_part)
        if problem:
            problems.append(FieldProblem("password", problem))
        try:
            display = parse_name(name)
        except ValidationFailed as exc:
            problems += exc.problems
        if problems:
            raise ValidationFailed(tuple(problems))
        return address, display

    def _under_way(self, account: Account | None, now_ms: int) -> bool:
        """Whether a verification mail is unsent or was requested within this second, as by a double click or a retry.

        The mail is read in any case, so that a known address costs the same reads as an unknown one.
        """
        newest = account.codes.get(Kind.VERIFY_EMAIL) if account and account.status == "pending" else None
        mail = self.mails.get(newest.mail_id if newest else "mail_none")
        return newest is not None and newest.created_ms > now_ms - (UNSENT_MS if _is_unsent(mail) else DOUBLE_CLICK_MS)

    def _create(self, address: Address, name: str, password_hash: str, now_ms: int) -> None:
        account_id = random_id("usr_")
        mail = new_mail(Kind.VERIFY_EMAIL, account_id=account_id, to=address.given, now_ms=now_ms)
        account = Account(
            account_id=account_id,
            email=address.given,
            email_key=address.key,
            name=name,
            password_hash=password_hash,
            created_ms=now_ms,
            codes={Kind.VERIFY_EMAIL.value: PendingCode(mail.mail_id, mail.expires_ms, now_ms)},
        )
        grant = new_grant(account_id, **asdict(self.limits), now_ms=now_ms)
        try:
            self.accounts.create(account, grant, mail)
        except AddressTaken:
            return  # a concurrent registration of the address queued its mail first


def _is_unsent(mail: Mail | None) -> bool:
    return mail is not None and mail.state in UNSENT
