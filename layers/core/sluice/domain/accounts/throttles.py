"""Throttles of attempts: some attempts are free, then each needs a longer wait than the last, up to a ceiling.

A stranger cannot lock an owner out (OWASP ASVS 6.3.1 warns of lock-outs): the strict counter belongs to a pair of
account and client address. A stranger can raise only the counters of an account (all clients) and of a client (all
accounts). These take the free attempts away, or delay by a few seconds at most.
"""

import hashlib
import ipaddress
from dataclasses import dataclass

from sluice.domain.errors import TooManyAttempts

GOOD_HISTORY_MS = 30 * 24 * 3600 * 1000  # how long a client that knew the password counts as the owner's


@dataclass(frozen=True)
class Policy:
    """`free` attempts need no wait. After them the wait doubles from `first_seconds` to `ceiling_seconds`.

    The counter is forgotten `forget_seconds` after the last attempt, which is longer than the ceiling.
    """

    name: str
    free: int
    first_seconds: int
    ceiling_seconds: int
    forget_seconds: int
    keeps_history: bool = False

    @property
    def kept_seconds(self) -> int:
        return GOOD_HISTORY_MS // 1000 if self.keeps_history else self.forget_seconds

    def wait_ms(self, count: int) -> int:
        """Milliseconds to wait after attempt number `count`."""
        if count < self.free:
            return 0
        doublings = min(count - self.free, 30)  # 2^30 s is above any ceiling
        return 1000 * min(self.ceiling_seconds, self.first_seconds << doublings)


@dataclass(frozen=True)
class Counter:
    """Attempts counted, and the time from which the next is accepted. For `good_until_ms` see `GOOD_HISTORY_MS`."""

    count: int = 0
    not_before_ms: int = 0
    last_ms: int = 0
    good_until_ms: int = 0

    def is_stale(self, policy: Policy, now_ms: int) -> bool:
        return self.last_ms + policy.forget_seconds * 1000 <= now_ms


HOUR = 3600
# Strict: one account from one client address, as a person or an attacker at one machine.
LOGIN_PAIR = Policy(
    "login-pair", free=10, first_seconds=1, ceiling_seconds=900, forget_seconds=HOUR, keeps_history=True
)
# The same pair while the account is under attack from many addresses.
LOGIN_PAIR_ATTACKED = Policy(
    "login-pair", free=1, first_seconds=1, ceiling_seconds=900, forget_seconds=HOUR, keeps_history=True
)
# One account from all addresses: counted, never refused. From ATTACKED_FROM on, LOGIN_PAIR_ATTACKED applies.
LOGIN_ACCOUNT = Policy("login-account", free=1 << 40, first_seconds=1, ceiling_seconds=1, forget_seconds=HOUR)
ATTACKED_FROM = 50
# One client at all accounts: slows credential stuffing, and other users of the address, to one attempt in 5 s.
LOGIN_CLIENT = Policy("login-client", free=50, first_seconds=1, ceiling_seconds=5, forget_seconds=HOUR)
# Confirming a password inside a session: only a holder of one of the account's sessions can raise this counter.
CONFIRM_PASSWORD = Policy("confirm-password", free=10, first_seconds=1, ceiling_seconds=900, forget_seconds=HOUR)
# Codes of an app, six digits, for which only a holder of the password may try. One account from one client address.
FACTOR_PAIR = Policy(
    "factor-pair", free=5, first_seconds=1, ceiling_seconds=900, forget_seconds=HOUR, keeps_history=True
)
# The same from all addresses that have not shown a factor within 30 days. It may keep its owner from logging in with a
# code there; a passkey, a recovery code, or a new password (which begins a new count) goes on (docs/adr/0131).
FACTOR_ACCOUNT = Policy("factor-account", free=20, first_seconds=30, ceiling_seconds=900, forget_seconds=HOUR)
# Redeeming a mailed code costs a password hash, so the number per client is limited.
REDEEM_CLIENT = Policy("redeem-client", free=30, first_seconds=1, ceiling_seconds=30, forget_seconds=HOUR)
# A sign-in by a provider that a client begins costs an item of the store until it expires; one that ends well is free.
START_CLIENT = Policy("start-client", free=60, first_seconds=1, ceiling_seconds=30, forget_seconds=HOUR)
# Calls of a member that ask Stripe, which limits the requests of the whole site together.
ASK_STRIPE = Policy("ask-stripe", free=20, first_seconds=5, ceiling_seconds=300, forget_seconds=HOUR)

# Security events of one kind that an account's own people cause, and mails that they cause to other addresses. Nothing
# is refused to them; what exceeds this is neither kept nor mailed.
EVENT = Policy("event", free=20, first_seconds=60, ceiling_seconds=3600, forget_seconds=24 * HOUR)

# Mails of one kind to one address, requested by one client and by all clients, to protect the mailbox from a flood.
MAIL_PAIR = Policy("mail-pair", free=5, first_seconds=30, ceiling_seconds=3600, forget_seconds=24 * HOUR)
MAIL_ADDRESS = Policy("mail-address", free=10, first_seconds=10, ceiling_seconds=120, forget_seconds=HOUR)
# Registrations and mails that one client requests, for any address.
MAIL_CLIENT = Policy("mail-client", free=100, first_seconds=1, ceiling_seconds=30, forget_seconds=HOUR)


def key(policy: Policy, *subjects: str) -> str:
    """A throttle's key. It is a hash, so that the table holds neither mail addresses nor client addresses."""
    return policy.name + "#" + hashlib.sha256("\0".join(subjects).encode()).hexdigest()[:32]


def client_network(address: str) -> str:
    """The client's network: an IPv4 address, or an IPv6 /64, because one machine can use all addresses of a /64."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    if mapped or isinstance(parsed, ipaddress.IPv4Address):
        return str(mapped or parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def refused(not_before_ms: int, now_ms: int) -> TooManyAttempts:
    """The error, with its seconds rounded up so that waiting that long is enough."""
    return TooManyAttempts(-(-(not_before_ms - now_ms) // 1000))
