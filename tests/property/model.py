"""A simple model of the limits (a bucket with a level, a counter, a dictionary), written independently of the code.

The bucket's level is a share between 0 and 1 in exact fractions; it refills in 60 s, and a clock that goes backwards
empties it again. This module imports nothing of Sluice.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
LEASE = 30 * SECOND


def month_of(now: int) -> tuple[int, int]:
    moment = datetime.fromtimestamp(now // SECOND, UTC)
    return (moment.year, moment.month)


@dataclass
class Bucket:
    """`level` is the share that was free at `at` (ns). Anything above 1 is lost at the next take, not before."""

    level: Fraction = Fraction(1)
    at: int = 0

    def free(self, now: int) -> Fraction:
        return min(Fraction(1), self.level + Fraction(now - self.at, MINUTE))

    def take(self, share: Fraction, now: int) -> None:
        self.level, self.at = self.free(now) - share, now

    def give_back(self, share: Fraction) -> None:
        self.level += share


@dataclass
class Running:
    reserved: int
    share: Fraction  # of the token bucket
    month: tuple[int, int]
    token: str
    expires: int
    prompt: int = 0
    completion: int = 0


@dataclass
class Model:
    rpm: int
    tpm: int
    concurrency: int
    monthly: int
    month: tuple[int, int]
    live: dict[str, int] = field(default_factory=dict)  # token id → expiry, ns
    suspended: bool = False
    blocked_until: int = 0
    requests: Bucket = field(default_factory=Bucket)
    tokens: Bucket = field(default_factory=Bucket)
    used: int = 0  # tokens of the month's quota, including reservations
    running: dict[str, Running] = field(default_factory=dict)
    ledger: dict[str, tuple[int, tuple[int, int]]] = field(default_factory=dict)  # tokens used, month

    def problems(self, token: str, reserve: int, now: int) -> set[str]:
        """All reasons to refuse; empty if the request is admitted."""
        reasons = set()
        if self.live.get(token, 0) <= now - now % SECOND:  # tokens expire on whole seconds
            reasons.add("caller")
        if self.suspended:
            reasons.add("caller")
        if self.blocked_until > now - now % 1_000_000:
            reasons.add("blocked")
        if 0 in (self.rpm, self.tpm, self.concurrency, self.monthly):
            reasons.add("zero")
        if reserve > self.tpm:
            reasons.add("never")
        if self.used_in(max(self.month, month_of(now))) + reserve > self.monthly:
            reasons.add("quota")
        if self.rpm and self.requests.free(now) < Fraction(1, self.rpm):
            reasons.add("requests")
        if self.tpm and self.tokens.free(now) < Fraction(reserve, self.tpm):
            reasons.add("tokens")
        if len(self.running) >= self.concurrency:
            reasons.add("concurrency")
        return reasons

    def used_in(self, month: tuple[int, int]) -> int:
        return self.used if month == self.month else 0

    def admit(self, name: str, token: str, reserve: int, now: int) -> None:
        month = max(self.month, month_of(now))
        self.used, self.month = self.used_in(month) + reserve, month
        share = Fraction(reserve, self.tpm)
        self.requests.take(Fraction(1, self.rpm), now)
        self.tokens.take(share, now)
        expires = now - now % 1_000_000 + LEASE
        self.running[name] = Running(reserve, share, month, token, expires)

    def settle(self, name: str, used: int) -> None:
        """The first call writes the record; a second changes nothing."""
        held = self.running.pop(name, None)
        if held is None:
            return
        spent, _ = self.ledger.setdefault(name, (used, held.month))
        self.tokens.give_back(held.share * Fraction(held.reserved - spent, held.reserved))
        if held.month == self.month:
            self.used -= held.reserved - spent

    def settle_interrupted(self, name: str) -> None:
        held = self.running[name]
        self.settle(name, held.prompt + held.completion)

    def expired(self, now: int, after: int = 0) -> list[str]:
        return [name for name, held in self.running.items() if held.expires + after <= now - now % 1_000_000]
