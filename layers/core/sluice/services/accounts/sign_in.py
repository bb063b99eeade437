"""From a proven first factor (a password, or an identity of another site) to a session, or to the second factor."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sluice.domain.accounts import factors as rules
from sluice.domain.accounts.account import Account
from sluice.domain.accounts.audit import Action
from sluice.domain.accounts.factors import ChallengeInvalid, Proof, Question
from sluice.domain.accounts.sessions import MOST_SESSIONS, NewSession, new_session
from sluice.domain.accounts.user_agents import device
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import AccountSuspended, EmailNotVerified, InvalidCredentials, NotFound, StoreUnavailable
from sluice.domain.mails.mail import Kind
from sluice.domain.periods import day_of, rfc3339
from sluice.ports.accounts import AccountStore, FactorStore, Passkeys, SessionStore
from sluice.ports.mails import MailStore
from sluice.services.accounts.second_factors import SecondFactors
from sluice.services.accounts.security_events import SecurityEvents
from sluice.services.mails.queue import queue_mail

log = logging.getLogger("sluice.accounts")


@dataclass(frozen=True)
class LoggedIn:
    account: Account
    new: NewSession


@dataclass(frozen=True)
class FactorRequired:
    """`challenge`: only the client keeps it. `ways`: `totp`, `passkey`, `recovery_code`. `passkey`: what a browser
    needs for one, or None."""

    challenge: str = field(repr=False)
    ways: tuple[str, ...]
    passkey: dict[str, Any] | None = None


@dataclass(frozen=True)
class SignIn:
    """`second` and `passkeys` are callables, because only accounts with a second factor need them."""

    accounts: AccountStore
    sessions: SessionStore
    mails: MailStore
    events: SecurityEvents
    factors: FactorStore
    second: Callable[[], SecondFactors]
    passkeys: Callable[[], Passkeys]
    session_hours: int

    def proven(self, account: Account, visitor: Visitor, *, new_place: bool) -> LoggedIn | FactorRequired:
        """The one way in. Call it with an account that was read just now, after its first factor was proven: it answers
        with a session, or with a challenge where the account has a second factor. `new_place`: the first factor was
        never shown from this network, so the owner is told of the login.

        Errors: InvalidCredentials (being deleted), EmailNotVerified, AccountSuspended, StoreUnavailable.
        """
        _require_active(account)
        if not account.factors:
            return self._enter(account, visitor, new_place=new_place)
        challenge, key = rules.new_challenge()
        question = rules.new_question("login", key, account.account_id, account.session_epoch, now_ms=visitor.now_ms)
        self.factors.ask(question)
        log.info("second factor asked", extra={"account_id": account.account_id})
        return self._required(challenge, question, account)

    def required(self, challenge: str, now_ms: int) -> FactorRequired:
        """What a challenge asks for, to be shown again. Errors: ChallengeInvalid, StoreUnavailable."""
        question, account = self._asked(challenge, now_ms)
        return self._required(challenge, question, account)

    def answer(self, challenge: str, proof: Proof, visitor: Visitor) -> LoggedIn:
        """Errors: ChallengeInvalid, WrongFactor, PasskeyRefused, ValidationFailed, AccountSuspended, TooManyAttempts,
        StoreUnavailable, Unavailable."""
        question, account = self._asked(challenge, visitor.now_ms)
        _require_active(account)
        self.factors.count_try(question.key, visitor.now_ms)
        is_known = self.second().check(account, proof, visitor, question)
        return self._enter(account, visitor, new_place=not is_known, factor_ms=visitor.now_ms)

    def _asked(self, challenge: str, now_ms: int) -> tuple[Question, Account]:
        question = self.factors.asked(rules.challenge_key(challenge))
        if question is None or question.purpose != "login" or question.expires_ms <= now_ms:
            raise ChallengeInvalid()
        account = self.accounts.get(question.asked_of)
        if account is None or account.session_epoch != question.epoch or question.tries >= rules.MOST_TRIES:
            raise ChallengeInvalid()
        return question, account

    def _required(self, challenge: str, question: Question, account: Account) -> FactorRequired:
        kinds = {one.kind for one in account.factors.values()}
        passkey = None
        if "passkey" in kinds and self.passkeys().origin():
            passkey = self.passkeys().options(account, question.secret)
        ways = [*(one for one in ("totp", "passkey") if one in kinds), *(["recovery_code"] if account.recovery else [])]
        return FactorRequired(challenge, tuple(ways), passkey)

    def _enter(self, account: Account, visitor: Visitor, *, new_place: bool, factor_ms: int | None = None) -> LoggedIn:
        now_ms = visitor.now_ms
        # If the password changes at this moment, this session has the old epoch and is invalid.
        new = new_session(
            account, hours=self.session_hours, user_agent=visitor.user_agent, now_ms=now_ms, factor_ms=factor_ms
        )
        self._make_room(account.account_id)
        self.sessions.put(new.session)
        log.info("logged in", extra={"account_id": account.account_id})
        if new_place and self.events.note(Action.NEW_PLACE_LOGIN, account.account_id, visitor):
            self._tell(account, visitor)
        return LoggedIn(account, new)

    def _make_room(self, account_id: str) -> None:
        """End the oldest sessions of an account that has as many as it may have. Concurrent logins may exceed the bound
        until the next one."""
        held = sorted(self.sessions.of_account(account_id), key=lambda session: session.created_ms)
        for session in held[: max(0, len(held) - MOST_SESSIONS + 1)][:100]:
            with suppress(NotFound):
                self.sessions.delete(session.session_id, account_id)

    def _tell(self, account: Account, visitor: Visitor) -> None:
        """Mail the owner, once for each day and network. The login succeeds even if the mail cannot be queued."""
        now_ms, network = visitor.now_ms, visitor.network
        data = {"when": rfc3339(now_ms), "client": network, "agent": device(visitor.user_agent)}
        once = (network, day_of(now_ms))
        try:
            queue_mail(
                Kind.NEW_SIGN_IN,
                account,
                mails=self.mails,
                now_ms=now_ms,
                data=data,
                once=once,
                language=visitor.language,
            )
        except StoreUnavailable:
            log.warning("owner not notified of a login from a new place", extra={"account_id": account.account_id})


def _require_active(account: Account) -> None:
    if account.status == "deleting":
        raise InvalidCredentials()
    if account.status == "pending":
        raise EmailNotVerified()
    if account.status == "suspended":
        raise AccountSuspended()
