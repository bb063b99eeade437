"""An account's identities at other sites: linked and unlinked by the account itself, never by an address alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sluice.domain.accounts import factors
from sluice.domain.accounts.account import Account, Address, Identity, parse_address
from sluice.domain.accounts.audit import Action
from sluice.domain.accounts.factors import Question
from sluice.domain.accounts.identities import (
    AddressNotVerified,
    Claimed,
    LinkedAlready,
    OtherAddress,
    SignInRefused,
    as_secret,
    claimed_in,
    may_unlink,
)
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import Conflict, NotAuthenticated, NotFound, ValidationFailed
from sluice.domain.phrases import later
from sluice.ports.accounts import AccountStore, FactorStore, Provider
from sluice.services.accounts.second_factors import FactorNotices

LAST_WAY_IN = later("This is your only way to log in. Set a password first: “Forgot your password?” mails you a link.")


@dataclass(frozen=True)
class LinkedIdentities:
    """Every method may raise NotAuthenticated (deleted meanwhile) and StoreUnavailable."""

    accounts: AccountStore
    questions: FactorStore
    notices: FactorNotices
    providers: Callable[[], Mapping[str, Provider]]

    def ask(self, provider: Provider, claimed: Claimed, account: Account, visitor: Visitor) -> str:
        """→ a ticket, which only this browser keeps, for a session of the account to link the identity with. Errors:
        LinkedAlready, AddressNotVerified, OtherAddress."""
        if self.accounts.by_identity(claimed.identity_id) is not None:
            raise LinkedAlready(provider.title)
        if address_of(provider, claimed).key != account.email_key:
            raise OtherAddress(provider.title)
        ticket, key = factors.new_challenge()
        told, epoch = as_secret(claimed, provider=provider.name), account.session_epoch
        question = factors.new_question("link", key, account.account_id, epoch, now_ms=visitor.now_ms, secret=told)
        self.questions.ask(question)
        return ticket

    def asked(self, ticket: str, account_id: str, now_ms: int) -> tuple[Provider, Claimed]:
        """What the account is asked to link. Errors: SignInRefused."""
        return self._asked(self.questions.asked(factors.challenge_key(ticket)), self._account(account_id), now_ms)

    def link(self, ticket: str, account_id: str, visitor: Visitor) -> None:
        """The caller's session must be fresh. Errors: SignInRefused, OtherAddress, Conflict."""
        account, now_ms = self._account(account_id), visitor.now_ms
        provider, claimed = self._asked(self.questions.take(factors.challenge_key(ticket)), account, now_ms)
        if address_of(provider, claimed).key != account.email_key:  # changed since it was asked
            raise OtherAddress(provider.title)
        self.accounts.link(account, identity_of(provider, claimed, now_ms))
        self.notices.tell(Action.IDENTITY_LINKED, account, visitor, provider=provider.title)

    def unlink(self, account_id: str, identity_id: str, visitor: Visitor) -> None:
        """The caller's session must be fresh. Errors: NotFound, Conflict (it is the last way in)."""
        account = self._account(account_id)
        if identity_id not in account.identities:
            raise NotFound()
        if not may_unlink(account):
            raise Conflict(LAST_WAY_IN)
        self.accounts.unlink(account, identity_id)
        known = self.providers().get(name := account.identities[identity_id].provider)
        self.notices.tell(Action.IDENTITY_REMOVED, account, visitor, provider=known.title if known else name)

    def _asked(self, question: Question | None, account: Account, now_ms: int) -> tuple[Provider, Claimed]:
        if question is None or question.purpose != "link" or question.expires_ms <= now_ms:
            raise SignInRefused()
        if question.asked_of != account.account_id or question.epoch != account.session_epoch:
            raise SignInRefused()
        name, claimed = claimed_in(question)
        if (provider := self.providers().get(name)) is None:
            raise SignInRefused()
        return provider, claimed

    def _account(self, account_id: str) -> Account:
        account = self.accounts.get(account_id)
        if account is None:
            raise NotAuthenticated()
        return account


def address_of(provider: Provider, claimed: Claimed) -> Address:
    """Errors: AddressNotVerified."""
    try:
        return parse_address(claimed.email)
    except ValidationFailed as exc:
        raise AddressNotVerified(provider.title) from exc


def identity_of(provider: Provider, claimed: Claimed, now_ms: int) -> Identity:
    return Identity(claimed.identity_id, provider.name, claimed.issuer, claimed.subject, claimed.email, now_ms)
