"""One's own second factors: set up, list, remove; and show one again in a session before something that matters."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sluice.domain.accounts import factors as rules
from sluice.domain.accounts.account import Account, parse_name
from sluice.domain.accounts.audit import Action
from sluice.domain.accounts.factors import Proof, Question, WrongFactor
from sluice.domain.accounts.sessions import is_fresh
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import (
    ConfirmationRequired,
    Conflict,
    FieldProblem,
    InvalidCredentials,
    NotAuthenticated,
    NotFound,
    ValidationFailed,
)
from sluice.ports.accounts import AccountStore, FactorStore, Passkeys, SecretBox, SessionStore
from sluice.services.accounts.passwords import NO_PASSWORD, Passwords
from sluice.services.accounts.second_factors import FactorNotices, SecondFactors

NOT_BEGUN = "Begin again: this set-up was finished already, or took too long."


@dataclass(frozen=True)
class AppSetup:
    """What an authenticator app needs: by typing, and by scanning."""

    secret: str = field(repr=False)
    url: str = field(repr=False)


@dataclass(frozen=True)
class OwnFactors:
    """A set-up belongs to one session. Every method may raise NotAuthenticated (deleted meanwhile) and
    StoreUnavailable."""

    accounts: AccountStore
    sessions: SessionStore
    factors: FactorStore
    second: SecondFactors
    passwords: Passwords
    passkeys: Callable[[], Passkeys]
    box: Callable[[], SecretBox]
    notices: FactorNotices
    site: Callable[[], str]
    """The site's name, as apps and passkeys show it."""

    def account(self, account_id: str) -> Account:
        account = self.accounts.get(account_id)
        if account is None:
            raise NotAuthenticated()
        return account

    # --- set up

    def begin_app(self, account_id: str, session_id: str, now_ms: int) -> AppSetup:
        """Errors: Conflict (has as many as it may have), Unavailable."""
        import pyotp

        account = self._with_room(account_id)
        sealed = self.box().seal(secret := pyotp.random_base32(), account_id)
        self._ask("totp", session_id, account, now_ms, sealed)
        return self._app_setup(account, secret)

    def begun_app(self, account_id: str, session_id: str, now_ms: int) -> AppSetup:
        """To be shown again. Errors: Conflict (none is begun), Unavailable."""
        account = self.account(account_id)
        question = self._begun("totp", session_id, account, now_ms)
        return self._app_setup(account, self.box().open(question.secret, account_id))

    def confirm_app(self, account_id: str, session_id: str, code: str, name: str, visitor: Visitor) -> list[str]:
        """→ recovery codes, if this is the first factor. Errors: Conflict, ConfirmationRequired, ValidationFailed (a
        wrong code), Unavailable."""
        account = self.account(account_id)
        question = self._begun("totp", session_id, account, visitor.now_ms)
        step = rules.matching_step(self.box().open(question.secret, account_id), code, visitor.now_ms)
        if step is None:
            text = "The code is wrong. Take the one that the app shows now, and check that the phone's clock is right."
            raise ValidationFailed((FieldProblem("code", text),))
        more = {"secret": question.secret, "last_step": step}
        factor = rules.new_factor("totp", _name(name, "Authenticator app"), visitor.now_ms, **more)
        return self._add(account, session_id, question, factor, visitor)

    def passkey_options(self, account_id: str, session_id: str, now_ms: int) -> dict[str, Any]:
        """Errors: Conflict (has as many as it may have), PasskeyRefused (this site can have none)."""
        account = self._with_room(account_id)
        question = self._ask("passkey", session_id, account, now_ms)
        return self.passkeys().new_options(account, question.secret, self.site())

    def add_passkey(
        self, account_id: str, session_id: str, credential: dict[str, Any], name: str, visitor: Visitor
    ) -> list[str]:
        """→ recovery codes, if this is the first factor. Errors: Conflict, ConfirmationRequired, PasskeyRefused."""
        account = self.account(account_id)
        question = self._begun("passkey", session_id, account, visitor.now_ms)
        given = _name(name, "Passkey")
        factor = self.passkeys().registered(credential, question.secret, given, visitor.now_ms)
        return self._add(account, session_id, question, factor, visitor)

    def _add(
        self, account: Account, session_id: str, question: Question, factor: rules.Factor, visitor: Visitor
    ) -> list[str]:
        session = self.sessions.get(session_id)  # the account may have got its first factor since the request began
        if session is None or not is_fresh(session, account, visitor.now_ms):
            raise ConfirmationRequired()
        codes = [] if account.factors else rules.new_recovery_codes()
        self.factors.add(account, factor, _hashes(codes, visitor.now_ms))
        self.factors.forget(question.key)
        with suppress(NotFound):  # the session has ended meanwhile; the codes must be shown all the same
            self.sessions.mark_shown(session_id, account.account_id, "factor_ms", visitor.now_ms)
        self.notices.tell(Action.FACTOR_ADDED, account, visitor, kind=factor.kind)
        return codes

    # --- change

    def remove(self, account_id: str, session_id: str, factor_id: str, proof: Proof, visitor: Visitor) -> None:
        """With the password or a factor, shown anew. Errors: NotFound, those of `Passwords.confirm` and `check`."""
        account = self.account(account_id)
        factor = account.factors.get(factor_id)
        if factor is None:
            raise NotFound()
        if proof.password:
            self.passwords.confirm(account_id, proof.password, visitor.now_ms)
        else:
            self._show(account, session_id, proof, visitor)
        self.factors.remove(account, factor_id)
        self.notices.tell(Action.FACTOR_REMOVED, account, visitor, kind=factor.kind)

    def renew_codes(self, account_id: str, visitor: Visitor) -> list[str]:
        """New recovery codes; the earlier ones end. Errors: Conflict (no factor is set up)."""
        account, codes = self.account(account_id), rules.new_recovery_codes()
        self.factors.renew_recovery(account, _hashes(codes, visitor.now_ms))
        self.notices.tell(Action.RECOVERY_CODES_RENEWED, account, visitor)
        return codes

    # --- show again

    def question(self, account_id: str, session_id: str, now_ms: int) -> dict[str, Any] | None:
        """What a browser needs to show a passkey in this session; None if the account has none, or may not here."""
        account = self.account(account_id)
        has_passkey = any(one.kind == "passkey" for one in account.factors.values())
        if not has_passkey or not self.passkeys().origin():
            return None
        question = self._ask("confirm", session_id, account, now_ms)
        return self.passkeys().options(account, question.secret)

    def confirm(self, account_id: str, session_id: str, proof: Proof, visitor: Visitor) -> None:
        """The session counts as fresh from now on. Errors: as `remove`; ValidationFailed for a password where the
        account has a second factor."""
        account = self.account(account_id)
        if account.factors:
            if proof.password:
                raise ValidationFailed((FieldProblem("password", "Show a second factor: a password is not enough."),))
            self._show(account, session_id, proof, visitor)
            shown = "factor_ms"
        else:
            if not account.password_hash:
                raise InvalidCredentials(NO_PASSWORD)
            self.passwords.confirm(account_id, proof.password, visitor.now_ms)
            shown = "proven_ms"
        self.sessions.mark_shown(session_id, account_id, shown, visitor.now_ms)

    def _show(self, account: Account, session_id: str, proof: Proof, visitor: Visitor) -> None:
        if not account.factors:
            raise WrongFactor()
        question = None
        if proof.credential is not None:
            question = self.factors.count_try(rules.key_of("confirm", session_id), visitor.now_ms)
        self.second.check(account, proof, visitor, question)

    # --- questions

    def _with_room(self, account_id: str) -> Account:
        account = self.account(account_id)
        if len(account.factors) >= rules.MOST_FACTORS:
            raise Conflict(f"You have {rules.MOST_FACTORS} ways already. Remove one first.")
        return account

    def _ask(
        self, purpose: rules.Purpose, session_id: str, account: Account, now_ms: int, secret: str = ""
    ) -> Question:
        key = rules.key_of(purpose, session_id)
        question = rules.new_question(
            purpose, key, account.account_id, account.session_epoch, now_ms=now_ms, secret=secret
        )
        self.factors.ask(question)
        return question

    def _begun(self, purpose: rules.Purpose, session_id: str, account: Account, now_ms: int) -> Question:
        question = self.factors.asked(rules.key_of(purpose, session_id))
        if question is None or question.expires_ms <= now_ms or question.asked_of != account.account_id:
            raise Conflict(NOT_BEGUN)
        if question.epoch != account.session_epoch:
            raise Conflict(NOT_BEGUN)
        return question

    def _app_setup(self, account: Account, secret: str) -> AppSetup:
        return AppSetup(secret, rules.otpauth_url(secret, account.email, self.site()))


def _hashes(codes: list[str], now_ms: int) -> dict[str, int]:
    return {rules.recovery_hash(code): now_ms for code in codes}


def _name(given: str, otherwise: str) -> str:
    return parse_name(given)[: rules.NAME_CHARACTERS] or otherwise
