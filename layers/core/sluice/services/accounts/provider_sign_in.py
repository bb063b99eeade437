"""Log in, sign up, link and confirm by another site's word (docs/adr/0130).

begin: a question that only this browser can answer ─ the provider's page ─ finish: the question is used up, the
provider is asked for whom the code is ─┬ a known identity: its account, and its second factor
                                        ├ a free address: an account, if sign-up lets it
                                        └ an account's address: that account must say so itself, logged in
"""

import hmac
import logging
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from sluice.domain.accounts import factors, throttles
from sluice.domain.accounts.account import UNVERIFIED_MS, Account, Address, parse_name
from sluice.domain.accounts.audit import Action
from sluice.domain.accounts.identities import Aim, Claimed, SignInRefused, Started, as_secret, started_in
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import Conflict, NotAuthenticated, NotFound, Unavailable, ValidationFailed
from sluice.domain.gateway.grants import new_grant
from sluice.domain.ids import random_id
from sluice.ports.accounts import AccountStore, FactorStore, Provider, SessionStore, Throttles
from sluice.services.accounts.linked_identities import LinkedIdentities, address_of, identity_of
from sluice.services.accounts.login_throttle import remember_place
from sluice.services.accounts.may_join import may_join
from sluice.services.accounts.security_events import SecurityEvents
from sluice.services.accounts.sign_in import FactorRequired, LoggedIn, SignIn
from sluice.services.accounts.used_quota import QuotaOfAddress

log = logging.getLogger("sluice.accounts")

ATTEMPTS = 3  # another sign-in, or a registration, may make the account at the same time


@dataclass(frozen=True)
class Begun:
    """`address`: the provider's page. `ticket`: only this browser keeps it."""

    address: str
    ticket: str = field(repr=False)


@dataclass(frozen=True)
class Entered:
    outcome: LoggedIn | FactorRequired
    next: str


@dataclass(frozen=True)
class Confirmed:
    next: str


@dataclass(frozen=True)
class LinkAsked:
    """The account of this address must say so itself, in a session of its own, with the `ticket`."""

    ticket: str = field(repr=False)


@dataclass(frozen=True)
class Holder:
    """Of the browser's session, if it has one."""

    account_id: str = ""
    session_id: str = ""


@dataclass(frozen=True)
class ProviderSignIn:
    """Every method may raise NotFound (no such provider) and StoreUnavailable."""

    accounts: AccountStore
    sessions: SessionStore
    questions: FactorStore
    throttles: Throttles
    events: SecurityEvents
    linked: LinkedIdentities
    quotas: QuotaOfAddress
    sign_in: SignIn
    providers: Callable[[], Mapping[str, Provider]]
    base_url: Callable[[], str]
    limits: Callable[[], Mapping[str, Any]]
    """Of `new_grant`."""
    site: Callable[[], Any]
    """Of `may_join`."""

    def begin(self, name: str, aim: Aim, next_: str, holder: Holder, visitor: Visitor) -> Begun:
        """Errors: ProviderUnavailable, TooManyAttempts, NotAuthenticated (link and confirm need a session)."""
        provider = self._provider(name)
        if aim != "enter" and not holder.account_id:
            raise NotAuthenticated()
        self.throttles.take(_client(visitor), throttles.START_CLIENT, visitor.now_ms)
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        started = Started(name, aim, state, nonce, verifier, next_)
        address = provider.address(started, self._back(name))
        asked_of = "" if aim == "enter" else holder.session_id
        ticket, key = factors.new_challenge()
        told = as_secret(started)
        self.questions.ask(factors.new_question("provider", key, asked_of, 0, now_ms=visitor.now_ms, secret=told))
        return Begun(address, ticket)

    def finish(
        self, name: str, ticket: str, answer: Mapping[str, str], holder: Holder, visitor: Visitor
    ) -> Entered | Confirmed | LinkAsked:
        """Errors: SignInRefused, AddressNotVerified, OtherAddress, LinkedAlready, ProviderUnavailable, Forbidden
        (sign-up), AccountSuspended, NotAuthenticated."""
        provider = self._provider(name)
        question = self.questions.take(factors.challenge_key(ticket))
        if question is None or question.purpose != "provider" or question.expires_ms <= visitor.now_ms:
            raise SignInRefused()
        started = started_in(question)
        is_its = hmac.compare_digest(started.state.encode(), answer.get("state", "").encode())
        if not is_its or started.provider != name:
            raise SignInRefused()
        claimed = provider.claimed(started, answer, self._back(name))
        self.throttles.give_back(_client(visitor), visitor.now_ms)
        if started.aim == "enter":
            return self._enter(provider, claimed, started.next, visitor)
        if question.asked_of != holder.session_id:  # logged out meanwhile, or as somebody else
            raise NotAuthenticated()
        if started.aim == "confirm":
            return self._confirm(claimed, started.next, holder, visitor)
        account = self.accounts.get(holder.account_id)
        if account is None:
            raise NotAuthenticated()
        return LinkAsked(self.linked.ask(provider, claimed, account, visitor))

    # --- log in, or sign up

    def _enter(self, provider: Provider, claimed: Claimed, next_: str, visitor: Visitor) -> Entered | LinkAsked:
        for _ in range(ATTEMPTS):
            if (account := self.accounts.by_identity(claimed.identity_id)) is not None:
                return Entered(self._logged_in(account, visitor), next_)
            address = address_of(provider, claimed)
            account = self.accounts.by_email(address.key, visitor.now_ms)
            with suppress(Conflict):
                if account is not None and account.status != "pending":
                    return LinkAsked(self.linked.ask(provider, claimed, account, visitor))
                may_join(self.site(), address, account, visitor.now_ms)
                self._join(provider, claimed, address, account, visitor)
        raise Unavailable()

    def _logged_in(self, account: Account, visitor: Visitor) -> LoggedIn | FactorRequired:
        pair = throttles.key(throttles.LOGIN_PAIR, account.email_key, visitor.network)
        is_known = self.throttles.peek(pair).good_until_ms > visitor.now_ms
        outcome = self.sign_in.proven(account, visitor, new_place=self.throttles.remembers and not is_known)
        remember_place(self.throttles, self.accounts, account.account_id, visitor)
        return outcome

    def _join(
        self, provider: Provider, claimed: Claimed, address: Address, account: Account | None, visitor: Visitor
    ) -> None:
        """An account that waits for its address to be verified is made, unless there is one, and is that account from
        now on: what strangers registered for the address ends with it. Errors: Conflict."""
        now_ms = visitor.now_ms
        account = account or self._waiting(address, now_ms)
        named = replace(account, email=address.given, name=_name(claimed.name))
        self.quotas.arrive(account.account_id, account.email_key, now_ms)
        self.accounts.adopt(named, identity_of(provider, claimed, now_ms), now_ms)
        if account.is_invited(now_ms):
            self.events.note(Action.INVITATION_ACCEPTED, account.account_id, visitor)
        remember_place(self.throttles, self.accounts, account.account_id, visitor)
        log.info("signed up by a provider", extra={"account_id": account.account_id})

    def _waiting(self, address: Address, now_ms: int) -> Account:
        ends_s = (now_ms + UNVERIFIED_MS) // 1000
        account = Account(random_id("usr_"), address.given, address.key, "", "", now_ms, ttl_s=ends_s)
        grant = new_grant(account.account_id, **self.limits(), now_ms=now_ms) | {"ttl_s": ends_s}
        self.accounts.create(account, grant, None)
        return account

    # --- show again

    def _confirm(self, claimed: Claimed, next_: str, holder: Holder, visitor: Visitor) -> Confirmed:
        account = self.accounts.by_identity(claimed.identity_id)
        if account is None or account.account_id != holder.account_id:
            raise SignInRefused()
        self.sessions.mark_shown(holder.session_id, holder.account_id, "proven_ms", visitor.now_ms)
        return Confirmed(next_)

    # --- helpers

    def _provider(self, name: str) -> Provider:
        found = self.providers().get(name)
        if found is None:
            raise NotFound()
        return found

    def _back(self, name: str) -> str:
        return f"{self.base_url()}/auth/oidc/{name}/callback"


def _client(visitor: Visitor) -> str:
    return throttles.key(throttles.START_CLIENT, visitor.network)


def _name(told: str) -> str:
    try:
        return parse_name(told)
    except ValidationFailed:
        return ""
