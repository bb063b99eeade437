"""One's own password: change it, or confirm it for actions that need more than a session. And end other sessions."""

from dataclasses import dataclass

from sluice.domain.accounts import throttles as rules
from sluice.domain.accounts.account import Account
from sluice.domain.accounts.audit import Action
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import ConfirmationRequired, InvalidCredentials, NotAuthenticated
from sluice.domain.phrases import later
from sluice.ports.accounts import AccountStore, SessionStore, Throttles
from sluice.ports.mails import MailStore
from sluice.services.accounts.new_passwords import NewPasswords, tell_owner
from sluice.services.accounts.security_events import SecurityEvents

NO_PASSWORD = later("This account has no password. Show the provider that you log in with, or set a password by mail.")


@dataclass(frozen=True)
class Passwords:
    accounts: AccountStore
    sessions: SessionStore
    mails: MailStore
    passwords: NewPasswords
    throttles: Throttles
    events: SecurityEvents

    def change(
        self, account_id: str, session_id: str, current_password: str, new_password: str, visitor: Visitor
    ) -> None:
        """End every session of the account except `session_id`. Errors: ValidationFailed (the new password),
        InvalidCredentials (the current one), TooManyAttempts, Conflict (a concurrent change),
        NotAuthenticated, Overloaded, StoreUnavailable."""
        account = self._account(account_id)
        self.passwords.check(new_password, account.email, "new_password")
        self._confirm(account, current_password, visitor.now_ms)
        self.sessions.change_password(account, self.passwords.hash(new_password), session_id)
        if self.events.note(Action.PASSWORD_CHANGED, account_id, visitor):
            tell_owner(account, self.mails, visitor)

    def end_other_sessions(self, account_id: str, session_id: str, visitor: Visitor) -> None:
        """All but `session_id`. Errors: Conflict (a concurrent change), NotAuthenticated, StoreUnavailable."""
        self.sessions.end_others(self._account(account_id), session_id)
        self.events.note(Action.SESSIONS_ENDED, account_id, visitor)

    def confirm(self, account_id: str, password: str, now_ms: int, *, is_fresh: bool = False) -> Account:
        """For actions that a stolen session must not be enough for. Of an account without a password, the session must
        have shown its provider just now (`is_fresh`). Errors: NotAuthenticated, InvalidCredentials,
        ConfirmationRequired, TooManyAttempts, Overloaded, StoreUnavailable."""
        account = self._account(account_id)
        if not account.password_hash:
            if not is_fresh:
                raise ConfirmationRequired()
            return account
        self._confirm(account, password, now_ms)
        return account

    def _account(self, account_id: str) -> Account:
        account = self.accounts.get(account_id)
        if account is None:
            raise NotAuthenticated()  # deleted in the meantime
        return account

    def _confirm(self, account: Account, password: str, now_ms: int) -> None:
        if not account.password_hash:
            raise InvalidCredentials(NO_PASSWORD)
        key = rules.key(rules.CONFIRM_PASSWORD, account.account_id)
        self.throttles.take(key, rules.CONFIRM_PASSWORD, now_ms)
        if not self.passwords.hashes().verify(account.password_hash, password):
            raise InvalidCredentials("The password is wrong.")
        self.throttles.succeeded(key, now_ms)
