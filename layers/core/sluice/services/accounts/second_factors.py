"""Check a second factor: a code of an app, a passkey or a recovery code, each of which counts once.

Only six digits can be guessed, so only they are throttled: here, and by the few tries of each question.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from sluice.domain.accounts import factors as rules
from sluice.domain.accounts import throttles
from sluice.domain.accounts.account import Account
from sluice.domain.accounts.audit import Action
from sluice.domain.accounts.factors import PasskeyCopied, PasskeyRefused, Proof, Question, WrongFactor
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import FieldProblem, StoreUnavailable, ValidationFailed
from sluice.domain.mails.mail import Kind
from sluice.domain.periods import rfc3339
from sluice.ports.accounts import FactorStore, Passkeys, SecretBox, Throttles
from sluice.ports.mails import MailStore
from sluice.services.accounts.security_events import SecurityEvents
from sluice.services.mails.queue import queue_mail

log = logging.getLogger("sluice.accounts")


@dataclass(frozen=True)
class FactorNotices:
    """Audit event and mail about an account's second factors. Best effort: what it tells of has already happened."""

    events: SecurityEvents
    mails: MailStore

    def tell(self, action: Action, account: Account, visitor: Visitor, **data: str | int) -> None:
        """The mail is of the kind of the action's name."""
        if not self.events.note(action, account.account_id, visitor):
            return
        told = {"when": rfc3339(visitor.now_ms), **data}
        try:
            queue_mail(
                Kind(action), account, mails=self.mails, now_ms=visitor.now_ms, data=told, language=visitor.language
            )
        except StoreUnavailable:
            log.warning("owner not notified: %s", action, extra={"account_id": account.account_id})


@dataclass(frozen=True)
class SecondFactors:
    """Passkeys and the box for secrets are callables, because both load slowly."""

    factors: FactorStore
    throttles: Throttles
    passkeys: Callable[[], Passkeys]
    box: Callable[[], SecretBox]
    notices: FactorNotices

    def check(self, account: Account, proof: Proof, visitor: Visitor, question: Question | None = None) -> bool:
        """Use the proof up, with `question` if it is one of a login or of a passkey. → whether this client showed a
        factor of the account before. Errors: WrongFactor, PasskeyRefused, ValidationFailed (no proof at all),
        TooManyAttempts, StoreUnavailable, Unavailable."""
        answered = question.key if question else ""
        pair = throttles.key(throttles.FACTOR_PAIR, account.account_id, visitor.network)
        is_known = self.throttles.peek(pair).good_until_ms > visitor.now_ms
        if proof.credential is not None:
            self._passkey(account, proof, visitor, question)
        elif rules.is_app_code(proof.code):
            self._app(account, proof.code, visitor, answered, is_known)
        elif proof.code:
            self._recovery(account, proof.code, visitor, answered)
        else:
            raise ValidationFailed((FieldProblem("code", "Enter a code, or use a passkey."),))
        self.throttles.succeeded(pair, visitor.now_ms)
        return is_known or not self.throttles.remembers

    def _app(self, account: Account, code: str, visitor: Visitor, answered: str, is_known: bool) -> None:
        taken = self._begin(account, visitor, is_known)
        for factor in account.factors.values():
            if factor.kind != "totp":
                continue
            step = rules.matching_step(self._secret(account, factor.secret), code, visitor.now_ms)
            if step is not None:
                self.factors.spend_step(account, factor.factor_id, step, visitor.now_ms, answered)
                for key in taken:
                    self.throttles.give_back(key, visitor.now_ms)
                return
        raise WrongFactor()

    def _secret(self, account: Account, sealed: str) -> str:
        """A secret that this site's key does not open is no secret: other ways must go on."""
        try:
            return self.box().open(sealed, account.account_id)
        except ValueError:
            log.error("an authenticator app's secret cannot be read", extra={"account_id": account.account_id})
            raise WrongFactor() from None

    def _begin(self, account: Account, visitor: Visitor, is_known: bool) -> list[str]:
        """Count the try before the code is compared. → what to give back if it is right. Errors: TooManyAttempts."""
        pair = throttles.key(throttles.FACTOR_PAIR, account.account_id, visitor.network)
        # A new password begins anew, because whoever tried with the old one cannot go on.
        everywhere = throttles.key(throttles.FACTOR_ACCOUNT, account.account_id, str(account.session_epoch))
        others_ms = 0 if is_known else self.throttles.peek(everywhere).not_before_ms
        not_before_ms = max(self.throttles.peek(pair).not_before_ms, others_ms)
        if not_before_ms > visitor.now_ms:
            raise throttles.refused(not_before_ms, visitor.now_ms)
        tried = self.throttles.take(pair, throttles.FACTOR_PAIR, visitor.now_ms).count
        if tried == throttles.FACTOR_PAIR.free:  # once for each throttled period
            self.notices.tell(Action.FACTORS_THROTTLED, account, visitor)
        if is_known:
            return []
        self.throttles.take(everywhere, throttles.FACTOR_ACCOUNT, visitor.now_ms)
        return [everywhere]

    def _recovery(self, account: Account, code: str, visitor: Visitor, answered: str) -> None:
        self.factors.spend_recovery(account, rules.recovery_hash(code), answered)
        left = max(0, len(account.recovery) - 1)
        self.notices.tell(Action.RECOVERY_CODE_USED, account, visitor, left=left)

    def _passkey(self, account: Account, proof: Proof, visitor: Visitor, question: Question | None) -> None:
        if question is None or proof.credential is None:
            raise PasskeyRefused()
        try:
            signed = self.passkeys().signed_by(account, proof.credential, question.secret)
        except PasskeyCopied:
            self.notices.events.note(Action.PASSKEY_COPIED, account.account_id, visitor)
            raise
        self.factors.spend_passkey(account, signed, visitor.now_ms, question.key)
