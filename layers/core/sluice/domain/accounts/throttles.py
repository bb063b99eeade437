"""Throttles of attempts: some are free, then each needs a longer wait than the last, up to a ceiling.

Nobody can be locked out by a stranger (OWASP ASVS 6.3.1 without the lock-out it warns of): what delays strictly is
kept for a pair of account and client address. The counters that a stranger can raise for others, all clients on one
account and all accounts from one client, only take the free attempts away, or have a ceiling of seconds.
"""

import hashlib
import ipaddress
from dataclasses import dataclass

from sluice.domain.errors import TooManyAttempts

GOOD_HISTORY_MS = 30 * 24 * 3600 * 1000  # how long a client that knew the password is trusted to be its owner's


@dataclass(frozen=True)
class Policy:
    """`free`: attempts without a wait. The wait before the next then doubles from `first` to `ceiling`.

    All is forgotten after `forget_seconds` without an attempt, which is more than the ceiling.
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
        """How long to wait after the attempt that made the count."""
        if count < self.free:
            return 0
        doublings = min(count - self.free, 30)  # 2^30 s: past any ceiling
        return 1000 * min(self.ceiling_seconds, self.first_seconds << doublings)


@dataclass(frozen=True)
class Counter:
    """Attempts counted, and from when on the next is taken. `good_until_ms`: see `GOOD_HISTORY_MS`."""

    count: int = 0
    not_before_ms: int = 0
    last_ms: int = 0
    good_until_ms: int = 0

    def is_stale(self, policy: Policy, now_ms: int) -> bool:
        return self.last_ms + policy.forget_seconds * 1000 <= now_ms


HOUR = 3600
# Strict, for one account from one client address: what a person or a guesser at one machine meets.
LOGIN_PAIR = Policy(
    "login-pair", free=10, first_seconds=1, ceiling_seconds=900, forget_seconds=HOUR, keeps_history=True
)
# The same while the account is under attack from many addresses.
LOGIN_PAIR_ATTACKED = Policy(
    "login-pair", free=1, first_seconds=1, ceiling_seconds=900, forget_seconds=HOUR, keeps_history=True
)
# One account from everywhere: only counted, never refused. From so many on, the pair's rule above holds.
LOGIN_ACCOUNT = Policy("login-account", free=1 << 40, first_seconds=1, ceiling_seconds=1, forget_seconds=HOUR)
ATTACKED_FROM = 50
# One client at all accounts: slows stuffing to one attempt in 5 s, and a neighbour behind the same address by no more.
LOGIN_CLIENT = Policy("login-client", free=50, first_seconds=1, ceiling_seconds=5, forget_seconds=HOUR)
# Confirming a password inside a session: only who holds a session of the account can raise it.
CONFIRM_PASSWORD = Policy("confirm-password", free=10, first_seconds=1, ceiling_seconds=900, forget_seconds=HOUR)
# Redeeming mailed codes costs a password hash: a client gets so many at once.
REDEEM_CLIENT = Policy("redeem-client", free=30, first_seconds=1, ceiling_seconds=30, forget_seconds=HOUR)

# Mails of one kind to one address, as one client asks for them, and as all do: a mailbox is not to be flooded.
MAIL_PAIR = Policy("mail-pair", free=5, first_seconds=30, ceiling_seconds=3600, forget_seconds=24 * HOUR)
MAIL_ADDRESS = Policy("mail-address", free=10, first_seconds=10, ceiling_seconds=120, forget_seconds=HOUR)
# Registrations and mails that one client asks for, to whatever addresses.
MAIL_CLIENT = Policy("mail-client", free=100, first_seconds=1, ceiling_seconds=30, forget_seconds=HOUR)


def key(policy: Policy, *subjects: str) -> str:
    """A throttle's key. Hashed: the table holds neither mail nor client addresses."""
    return policy.name + "#" + hashlib.sha256("\0".join(subjects).encode()).hexdigest()[:32]


def client_network(address: str) -> str:
    """What counts as one client: an IPv4 address, or an IPv6 /64, which one machine can roam at will."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    if mapped or isinstance(parsed, ipaddress.IPv4Address):
        return str(mapped or parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def refused(not_before_ms: int, now_ms: int) -> TooManyAttempts:
    """The refusal, with the seconds rounded up: waiting that long is enough."""
    return TooManyAttempts(-(-(not_before_ms - now_ms) // 1000))
