"""An in-memory store that follows the rules of `sluice.domain.gateway.admission` under one lock."""

import threading
from collections.abc import Sequence
from dataclasses import replace

from sluice.domain.errors import StoreUnavailable
from sluice.domain.gateway import buckets
from sluice.domain.gateway.admission import (
    AdmissionRequest,
    Forms,
    Grant,
    Limits,
    Refund,
    TokenUse,
    forms_for,
    refund_for,
)
from sluice.domain.gateway.contents import Kept, LoggedContent
from sluice.domain.gateway.decision import caller_refusal, decide, decide_malformed
from sluice.domain.gateway.leases import LEASE_MS, Lease
from sluice.domain.gateway.plans import PlanChange, in_plan
from sluice.domain.periods import period_of
from sluice.domain.usage.ledger import LedgerRecord
from sluice.ports.gateway import Attempt


class FakeHotStore:
    """Like the real store, it refuses a write with wrong types or with outdated limits.

    `away` makes every call fail; `writes` counts the writes that were made.
    """

    def __init__(self, *, settles_at_once: bool = False) -> None:
        self.settles_at_once = settles_at_once
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

    def grants_of(self, account_ids: Sequence[str]) -> dict[str, Grant]:
        self._reach()
        return {one: self.grants[one] for one in account_ids if one in self.grants}

    def admit(
        self,
        request: AdmissionRequest,
        guess: Grant,
        forms: Forms,
        lease: Lease,
        now_ns: int,
        change: PlanChange | None = None,
    ) -> Attempt:
        with self._lock:
            self._reach()
            self.writes += 1
            truth = self.grants.get(request.account_id)
            if truth is None:
                return Attempt(False, None)
            stored, truth = truth, in_plan(truth, change)
            known = guess.plan_version == stored.plan_version and _known(guess, stored, request.of_family)
            budget = guess.monthly_micro_usd == stored.monthly_micro_usd or not request.reserve_micro_usd
            if change is not None and (guess.plan, guess.own) != (stored.plan, stored.own):
                return Attempt(False, stored)
            if not known or not budget or forms != forms_for(truth, request, now_ns) or lease.period < truth.period:
                return Attempt(False, stored)
            if request.request_id in truth.leases or decide(truth, request, now_ns) is not None:
                return Attempt(False, stored)
            charged_ns = buckets.charge_ns(1, truth.limits.rpm)
            after = replace(
                truth,
                tat_requests_ns=truth.tat_requests_ns
                if request.epoch
                else buckets.take(truth.tat_requests_ns, charged_ns, now_ns),
                tat_tokens_ns=buckets.take(truth.tat_tokens_ns, lease.charged_tokens_ns, now_ns),
                leases={**truth.leases, request.request_id: lease},
                period=lease.period,
                period_tokens=(truth.period_tokens if truth.period == lease.period else 0) + request.reserve_tokens,
                period_micro_usd=(truth.period_micro_usd if truth.period == lease.period else 0)
                + request.reserve_micro_usd,
                money_period=lease.period if request.reserve_micro_usd else truth.money_period,
                token_limits=_charged(truth, request, lease, now_ns),
            )
            if change is not None:
                own = stored.own if change.own is None else change.own
                after = replace(after, plan_version=change.version, own=own)
            self.grants[request.account_id] = after
            return self._answer(Attempt(True, after))

    def charge_malformed(self, guess: Grant, token_id: str, now_ns: int, family: str = "") -> Attempt:
        with self._lock:
            self._reach()
            self.writes += 1
            truth = self.grants.get(guess.account_id)
            family = family or token_id
            if truth is None or not _known(guess, truth, family):
                return Attempt(False, truth)
            if decide_malformed(truth, token_id, now_ns, family) is not None:
                return Attempt(False, truth)
            if (guess.tat_requests_ns > now_ns) != (truth.tat_requests_ns > now_ns):
                return Attempt(False, truth)
            tat_ns = buckets.take(truth.tat_requests_ns, buckets.charge_ns(1, truth.limits.rpm), now_ns)
            uses = dict(truth.token_limits)
            if family in uses:
                uses[family] = _one_request(uses[family], now_ns)
            self.grants[guess.account_id] = replace(truth, tat_requests_ns=tat_ns, token_limits=uses)
            return self._answer(Attempt(True, self.grants[guess.account_id]))

    def checkpoint(
        self, account_id: str, request_id: str, lease: Lease, now_ms: int, *, settling: bool = False
    ) -> Attempt:
        with self._lock:
            self._reach()
            truth = self.grants[account_id]
            held = truth.leases.get(request_id)
            refusal = None if settling else caller_refusal(truth, lease.token_id, now_ms)
            if held is None or held.epoch != lease.epoch or refusal is not None:
                return Attempt(False, truth)
            renewed = replace(
                held,
                expires_ms=now_ms + LEASE_MS,
                prompt_tokens=lease.prompt_tokens,
                completion_tokens=lease.completion_tokens,
                upstream=lease.upstream or held.upstream,
            )
            self.grants[account_id] = replace(truth, leases={**truth.leases, request_id: renewed})
            return self._answer(Attempt(True, self.grants[account_id]))

    def take_over(self, account_id: str, request_id: str, lease: Lease, now_ms: int) -> Attempt:
        with self._lock:
            self._reach()
            truth = self.grants[account_id]
            held = truth.leases.get(request_id)
            if held is None or held.epoch != lease.epoch or not held.expired(now_ms):
                return Attempt(False, truth)
            taken = replace(held, epoch=held.epoch + 1, expires_ms=now_ms + LEASE_MS)
            self.grants[account_id] = replace(truth, leases={**truth.leases, request_id: taken})
            return self._answer(Attempt(True, self.grants[account_id]))

    def release(self, record: LedgerRecord, lease: Lease, refund: Refund) -> Attempt:
        with self._lock:
            self._reach()
            truth = self.grants[record.account_id]
            asked = replace(refund, requests_ns=0, family_requests_ns=0, family_day=0, withdrawn_ms=0, last=False)
            held = truth.leases
            if record.request_id not in held or held[record.request_id].epoch != lease.epoch:
                return Attempt(False, truth)
            if refund_for(lease, truth) != asked or (refund.last and len(held) > 1):
                return Attempt(False, truth)
            if refund.withdrawn_ms and held[record.request_id].expired(refund.withdrawn_ms):
                return Attempt(False, truth)
            unused = lease.reserved_tokens - record.total_tokens
            unused_micro_usd = lease.reserved_micro_usd - (record.cost_micro_usd or 0)
            uses = dict(truth.token_limits)
            if refund.family:
                use = uses[lease.family]
                uses[lease.family] = replace(
                    use,
                    tat_requests_ns=use.tat_requests_ns - refund.family_requests_ns,
                    tat_tokens_ns=use.tat_tokens_ns - lease.family_unused_ns(record.total_tokens),
                    tokens=use.tokens - (unused if refund.family_month else 0),
                    micro_usd=use.micro_usd - (unused_micro_usd if refund.family_month else 0),
                )
            self.grants[record.account_id] = replace(
                truth,
                leases={key: kept for key, kept in truth.leases.items() if key != record.request_id},
                tat_requests_ns=truth.tat_requests_ns - refund.requests_ns,
                tat_tokens_ns=truth.tat_tokens_ns - lease.unused_ns(record.total_tokens),
                period_tokens=truth.period_tokens - (unused if refund.quota else 0),
                # a month whose first cost is still to come has none to give back
                period_micro_usd=truth.period_micro_usd
                - (unused_micro_usd if refund.money and truth.money_period == truth.period else 0),
                token_limits=uses,
            )
            return self._answer(Attempt(True, self.grants[record.account_id]))

    def settle(self, record: LedgerRecord, lease: Lease, refund: Refund, kept: Kept | None) -> bool:
        with self._lock:
            held = self.grants[record.account_id].leases
            if record.request_id in self.ledger or record.request_id not in held:
                return False
            self._reach()
            self.ledger[record.request_id] = record
            if kept is not None:
                self.contents[record.request_id] = kept.content
            return self.release(record, lease, refund).made

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

    def record(self, account_id: str, request_id: str) -> LedgerRecord | None:
        self._reach()
        return self.ledger.get(request_id)

    def put_content(self, account_id: str, request_id: str, content: LoggedContent, now_ms: int, ttl_s: int) -> None:
        self._reach()
        self.contents[request_id] = content


def _known(guess: Grant, truth: Grant, family: str) -> bool:
    mine, theirs = guess.token_limits.get(family), truth.token_limits.get(family)
    same = (mine and (mine.limits, mine.public)) == (theirs and (theirs.limits, theirs.public))
    return guess.limits == truth.limits and same


def _one_request(use: TokenUse, now_ns: int) -> TokenUse:
    if use.public:
        used = use.day_requests if use.charged_day(now_ns) == use.day else 0
        use = replace(use, day=use.charged_day(now_ns), day_requests=used + 1)
    if not use.limits.rpm:
        return use
    charged_ns = buckets.charge_ns(1, use.limits.rpm)
    return replace(use, tat_requests_ns=buckets.take(use.tat_requests_ns, charged_ns, now_ns))


def _charged(truth: Grant, request: AdmissionRequest, lease: Lease, now_ns: int) -> dict[str, TokenUse]:
    uses = dict(truth.token_limits)
    use = uses.get(lease.family)
    if use is None:
        return uses
    if not request.epoch:
        use = _one_request(use, now_ns)
    if use.limits.tpm:
        use = replace(use, tat_tokens_ns=buckets.take(use.tat_tokens_ns, lease.family_tokens_ns, now_ns))
    tokens, micro_usd = (use.tokens, use.micro_usd) if use.period == lease.period else (0, 0)
    uses[lease.family] = replace(
        use,
        period=lease.period,
        tokens=tokens + request.reserve_tokens,
        micro_usd=micro_usd + request.reserve_micro_usd,
    )
    return uses


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
