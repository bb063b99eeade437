"""Limits on password attempts, which are counted before the password is checked (`domain/accounts/throttles`)."""

import logging

from sluice.domain.accounts import throttles as rules
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import StoreUnavailable
from sluice.ports.accounts import AccountStore, Throttles

log = logging.getLogger("sluice.accounts")


class LoginAttempt:
    """One attempt at the password of one address from one client."""

    def __init__(self, throttles: Throttles, email_key: str, visitor: Visitor) -> None:
        network = visitor.network
        self._throttles = throttles
        self._now_ms = visitor.now_ms
        self._pair = rules.key(rules.LOGIN_PAIR, email_key, network)
        self._everywhere = rules.key(rules.LOGIN_ACCOUNT, email_key)
        self._client = rules.key(rules.LOGIN_CLIENT, network)
        self._taken = [self._everywhere]
        self.is_known = False  # this client entered the correct password recently
        self.is_new_place = False  # it did not, and the throttles keep a history
        self.begins_wait = False  # this attempt is the last before this client, or all clients, must wait

    def begin(self) -> None:
        """Errors: TooManyAttempts, with the longest of the waits (the attempt is then not counted); StoreUnavailable.

        A client that recently entered the correct password is not throttled because of others' attempts.
        """
        pair, client = self._throttles.peek(self._pair), self._throttles.peek(self._client)
        self.is_known = pair.good_until_ms > self._now_ms
        self.is_new_place = self._throttles.remembers and not self.is_known
        not_before_ms = max(pair.not_before_ms, 0 if self.is_known else client.not_before_ms)
        if not_before_ms > self._now_ms:
            raise rules.refused(not_before_ms, self._now_ms)
        # Below, a refusal means that a concurrent attempt was counted first: then its wait applies.
        tried = self._throttles.take(self._everywhere, rules.LOGIN_ACCOUNT, self._now_ms).count
        attacked = tried > rules.ATTACKED_FROM
        policy = rules.LOGIN_PAIR_ATTACKED if attacked else rules.LOGIN_PAIR
        mine = self._throttles.take(self._pair, policy, self._now_ms).count
        # Once for each throttled period, so that strangers cannot flood the audit log.
        self.begins_wait = tried == rules.ATTACKED_FROM + 1 if attacked else mine == policy.free
        if not self.is_known:
            self._throttles.take(self._client, rules.LOGIN_CLIENT, self._now_ms)
            self._taken.append(self._client)

    def was_right(self) -> None:
        self._throttles.succeeded(self._pair, self._now_ms)
        for key in self._taken:
            self._throttles.give_back(key, self._now_ms)


def remember_place(throttles: Throttles, accounts: AccountStore, account_id: str, visitor: Visitor) -> None:
    """Do not report the next login from here, because who redeems a mailed code owns the mailbox. Never raises."""
    try:
        account = accounts.get(account_id)
        if account is not None:
            throttles.succeeded(rules.key(rules.LOGIN_PAIR, account.email_key, visitor.network), visitor.now_ms)
    except StoreUnavailable:
        log.warning("place not remembered, its first login will be mailed as new")
