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
class Own:
    """Limits of a family of API tokens, None for none, and what it has used."""

    rpm: int | None
    tpm: int | None
    monthly: int | None
    budget: int | None
    requests: Bucket = field(default_factory=Bucket)
    tokens: Bucket = field(default_factory=Bucket)
    month: tuple[int, int] = (0, 0)
    used: int = 0
    spent: int = 0

    def used_in(self, month: tuple[int, int]) -> tuple[int, int]:
        return (self.used, self.spent) if month == self.month else (0, 0)

    def take(self, reserve: int, cost: int, now: int, month: tuple[int, int], *, run: bool = False) -> Fraction:
        used, spent = self.used_in(month)
        self.used, self.spent, self.month = used + reserve, spent + cost, month
        if self.rpm and not run:
            self.requests.take(Fraction(1, self.rpm), now)
        if not self.tpm:  # a bucket without a limit stays untouched, also by a clock that is ahead
            return Fraction(0)
        share = Fraction(reserve, self.tpm)
        self.tokens.take(share, now)
        return share


@dataclass
class Running:
    reserved: int
    share: Fraction  # of the token bucket
    month: tuple[int, int]
    token: str
    expires: int
    cost: int = 0  # reserved, in micro-dollars; a token costs one, or none costs anything
    family: str = ""  # if it had limits
    own_share: Fraction = Fraction(0)
    prompt: int = 0
    completion: int = 0
    run: bool = False  # it counted as a request when it was submitted, and its lease is taken over, not settled


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
    budget: int | None = None
    spent: int = 0  # of the month's dollars, including reservations
    families: dict[str, str] = field(default_factory=dict)  # of rotated tokens
    own: dict[str, Own] = field(default_factory=dict)
    running: dict[str, Running] = field(default_factory=dict)
    ledger: dict[str, tuple[int, tuple[int, int]]] = field(default_factory=dict)  # tokens used, month

    def family(self, token: str) -> str:
        return self.families.get(token, token)

    def problems(self, token: str, reserve: int, cost: int, now: int, *, run: bool = False) -> set[str]:
        """All reasons to refuse; empty if the request is admitted."""
        reasons = set()
        if self.suspended or self.live.get(token, 0) <= now - now % SECOND:  # tokens expire on whole seconds
            reasons.add("caller")
        if self.blocked_until > now - now % 1_000_000:
            reasons.add("blocked")
        if 0 in (self.rpm, self.tpm, self.concurrency, self.monthly):
            reasons.add("zero")
        if reserve > self.tpm:
            reasons.add("never")
        month = max(self.month, month_of(now))
        used, spent = self.used_in(month)
        if used + reserve > self.monthly:
            reasons.add("quota")
        if cost and self.budget is not None and spent + cost > self.budget:
            reasons.add("budget")
        own = self.own.get(self.family(token))
        reasons |= set() if own is None else self.own_problems(own, reserve, cost, now)
        if self.rpm and self.requests.free(now) < Fraction(1, self.rpm):
            reasons.add("requests")
        if self.tpm and self.tokens.free(now) < Fraction(reserve, self.tpm):
            reasons.add("tokens")
        if len(self.running) >= self.concurrency:
            reasons.add("concurrency")
        return reasons - {"requests", "own requests"} if run else reasons

    def own_problems(self, own: Own, reserve: int, cost: int, now: int) -> set[str]:
        used, spent = own.used_in(max(self.month, month_of(now)))
        found = {
            "own zero": 0 in (own.rpm, own.tpm),
            "own never": own.tpm and reserve > own.tpm,
            "own quota": own.monthly is not None and used + reserve > own.monthly,
            "own budget": cost and own.budget is not None and spent + cost > own.budget,
            "own requests": own.rpm and own.requests.free(now) < Fraction(1, own.rpm),
            "own tokens": own.tpm and own.tokens.free(now) < Fraction(reserve, own.tpm),
        }
        return {name for name, holds in found.items() if holds}

    def used_in(self, month: tuple[int, int]) -> tuple[int, int]:
        return (self.used, self.spent) if month == self.month else (0, 0)

    def admit(self, name: str, token: str, reserve: int, cost: int, now: int, *, run: bool = False) -> None:
        month = max(self.month, month_of(now))
        used, spent = self.used_in(month)
        self.used, self.spent, self.month = used + reserve, spent + cost, month
        share = Fraction(reserve, self.tpm)
        if not run:
            self.requests.take(Fraction(1, self.rpm), now)
        self.tokens.take(share, now)
        expires = now - now % 1_000_000 + LEASE
        held = self.running[name] = Running(reserve, share, month, token, expires, cost, run=run)
        if (own := self.own.get(self.family(token))) is not None:
            held.family, held.own_share = self.family(token), own.take(reserve, cost, now, month, run=run)

    def settle(self, name: str, used: int) -> None:
        """The first call writes the record; a second changes nothing."""
        held = self.running.pop(name, None)
        if held is None:
            return
        spent, _ = self.ledger.setdefault(name, (used, held.month))
        unused, unspent = held.reserved - spent, held.cost - min(held.cost, spent)
        self.tokens.give_back(held.share * Fraction(unused, held.reserved))
        if held.month == self.month:
            self.used -= unused
            self.spent -= unspent
        own = self.own.get(held.family)
        if own is not None:
            own.tokens.give_back(held.own_share * Fraction(unused, held.reserved))
            if own.month == held.month:
                own.used -= unused
                own.spent -= unspent

    def settle_interrupted(self, name: str) -> None:
        held = self.running[name]
        self.settle(name, held.prompt + held.completion)

    def expired(self, now: int, after: int = 0, *, runs: bool = False) -> list[str]:
        at = now - now % 1_000_000 - after
        return [name for name, held in self.running.items() if held.expires <= at and (runs or not held.run)]
