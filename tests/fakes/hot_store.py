"""An in-memory store that follows the rules of `sluice.domain.gateway.admission` under one lock."""

import threading
from dataclasses import replace

from sluice.domain.errors import StoreUnavailable
from sluice.domain.gateway import buckets
from sluice.domain.gateway.admission import (
    AdmissionRequest,
    Forms,
    Grant,
    Limits,
    caller_refusal,
    decide,
    decide_malformed,
    forms_for,
)
from sluice.domain.gateway.contents import LoggedContent
from sluice.domain.gateway.leases import LEASE_MS, Lease
from sluice.domain.periods import period_of
from sluice.domain.usage.ledger import LedgerRecord
from sluice.ports.gateway import Attempt


class FakeHotStore:
    """Like the real store, it refuses a write with wrong types or with outdated limits.

    `away` makes every call fail; `writes` counts the writes that were made.
    """

    def __init__(self) -> None:
        self.grants: dict[str, Grant] = {}
        self.ledger: dict[str, LedgerRecord] = {}
        self.contents: dict[str, LoggedContent] = {}
        self.away = False
        self.lose_answers = 0  # number of writes that are made but whose answers get lost
        self.writes = 0
        self._lock = threading.RLock()

    def _reach(self) -> None:
        if self.away:
            raise StoreUnavailable()

    def _answer(self, attempt: Attempt) -> Attempt:
        if self.lose_answers:
            self.lose_answers -= 1
            raise StoreUnavailable()
        return attempt

    def grant(self, account_id: str) -> Grant | None:
        self._reach()
        return self.grants.get(account_id)

    def admit(self, request: AdmissionRequest, guess: Grant, forms: Forms, lease: Lease, now_ns: int) -> Attempt:
        with self._lock:
            self._reach()
            self.writes += 1
            truth = self.grants.get(request.account_id)
            if truth is None:
                return Attempt(False, None)
            known = guess.limits == truth.limits
            if not known or forms != forms_for(truth, request, now_ns) or lease.period < truth.period:
                return Attempt(False, truth)
            if request.request_id in truth.leases or decide(truth, request, now_ns) is not None:
                return Attempt(False, truth)
            charged_ns = buckets.charge_ns(1, truth.limits.rpm)
            after = replace(
                truth,
                tat_requests_ns=buckets.take(truth.tat_requests_ns, charged_ns, now_ns),
                tat_tokens_ns=buckets.take(truth.tat_tokens_ns, lease.charged_tokens_ns, now_ns),
                leases={**truth.leases, request.request_id: lease},
                period=lease.period,
                period_tokens=(truth.period_tokens if truth.period == lease.period else 0) + request.reserve_tokens,
            )
            self.grants[request.account_id] = after
            return self._answer(Attempt(True, after))

    def charge_malformed(self, guess: Grant, token_id: str, now_ns: int) -> Attempt:
        with self._lock:
            self._reach()
            self.writes += 1
            truth = self.grants.get(guess.account_id)
            if truth is None or guess.limits != truth.limits or decide_malformed(truth, token_id, now_ns) is not None:
                return Attempt(False, truth)
            if (guess.tat_requests_ns > now_ns) != (truth.tat_requests_ns > now_ns):
                return Attempt(False, truth)
            tat_ns = buckets.take(truth.tat_requests_ns, buckets.charge_ns(1, truth.limits.rpm), now_ns)
            self.grants[guess.account_id] = replace(truth, tat_requests_ns=tat_ns)
            return self._answer(Attempt(True, self.grants[guess.account_id]))

    def checkpoint(self, account_id: str, request_id: str, lease: Lease, now_ms: int) -> Attempt:
        with self._lock:
            self._reach()
            truth = self.grants[account_id]
            held = truth.leases.get(request_id)
            if held is None or caller_refusal(truth, lease.token_id, now_ms) is not None:
                return Attempt(False, truth)
            renewed = replace(
                held,
                expires_ms=now_ms + LEASE_MS,
                prompt_tokens=lease.prompt_tokens,
                completion_tokens=lease.completion_tokens,
            )
            self.grants[account_id] = replace(truth, leases={**truth.leases, request_id: renewed})
            return self._answer(Attempt(True, self.grants[account_id]))

    def release(self, account_id: str, request_id: str, lease: Lease, used_tokens: int, same_period: bool) -> Attempt:
        with self._lock:
            self._reach()
            truth = self.grants[account_id]
            if request_id not in truth.leases or (same_period and truth.period != lease.period):
                return Attempt(False, truth)
            unused = lease.reserved_tokens - used_tokens if same_period else 0
            self.grants[account_id] = replace(
                truth,
                leases={key: kept for key, kept in truth.leases.items() if key != request_id},
                tat_tokens_ns=truth.tat_tokens_ns - lease.unused_ns(used_tokens),
                period_tokens=truth.period_tokens - unused,
            )
            return self._answer(Attempt(True, self.grants[account_id]))

    def block(self, grant: Grant, seconds: int, now_ms: int) -> Attempt:
        with self._lock:
            self._reach()
            truth = self.grants[grant.account_id]
            if truth.blocked_until_ms != grant.blocked_until_ms:
                return Attempt(False, truth)
            after = replace(truth, blocked_until_ms=now_ms + seconds * 1000, block_seconds=seconds)
            self.grants[grant.account_id] = after
            return Attempt(True, after)

    def put_record(self, record: LedgerRecord) -> LedgerRecord:
        with self._lock:
            self._reach()
            return self.ledger.setdefault(record.request_id, record)

    def put_content(self, account_id: str, request_id: str, content: LoggedContent, now_ms: int, ttl_s: int) -> None:
        self._reach()
        self.contents[request_id] = content


def grant_of(
    account_id: str = "usr_a",
    *,
    now_ms: int,
    token_id: str = "tok_a",
    rpm: int = 60,
    tpm: int = 40_000,
    concurrency: int = 4,
    monthly_tokens: int = 1_000_000,
    lifetime_seconds: int = 3600,
) -> Grant:
    """A new grant with one live API token."""
    limits = Limits(rpm, tpm, concurrency, monthly_tokens)
    live = {token_id: now_ms // 1000 + lifetime_seconds}
    return Grant(account_id, live, "good", limits, period=period_of(now_ms))
