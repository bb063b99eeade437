"""Keys of requests: claimed by one conditional write, and what becomes of a claim (ADR 121).

    claim ─ ADMIT ─ answer ─ settle ─ keep the answer ─ end the claim ─ last byte
      ✗ after any step: who sends the request again learns that its process died; nothing is executed twice

The lease of a claim is the lease of its request, in the grant. Before the admission and after the settlement there is
none: then the times of the request id and of the ledger record stand in for it.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from sluice.domain import errors
from sluice.domain.gateway.admission import Grant
from sluice.domain.gateway.contents import DAY_S
from sluice.domain.ids import request_time_ms
from sluice.domain.repeats import (
    CLAIM_MS,
    ENDING_MS,
    MOST_ANSWER_BYTES,
    MOST_KEYS,
    NEVER_KEPT,
    Claim,
    KeptAnswer,
    Status,
)
from sluice.ports.gateway import HotStore
from sluice.ports.runs import ClaimStore, KeptAnswers

log = logging.getLogger("sluice.repeats")

TOO_MANY = f"This account has sent {MOST_KEYS:,} requests with an Idempotency-Key today. Send this one without."


@dataclass(frozen=True)
class Repeats:
    claims: ClaimStore
    answers: KeptAnswers
    store: HotStore
    now_ms: Callable[[], int]

    def claim(self, claim: Claim) -> Claim | None:
        """→ the claim that came before; None if this one is made. Errors: RateLimitExceeded, StoreUnavailable."""
        earlier = self.claims.put(claim, self.now_ms())
        if earlier is None:
            try:
                self._count(claim.account_id)
            except BaseException:
                with suppress(errors.StoreUnavailable):
                    self.claims.free(claim, self.now_ms())
                raise
        return earlier

    def _count(self, account_id: str) -> None:
        now_ms = self.now_ms()
        if not self.claims.count(account_id, now_ms):
            raise errors.RateLimitExceeded(DAY_S - now_ms // 1000 % DAY_S, TOO_MANY)

    def look_again(self, claim: Claim) -> Claim | None:
        """As `claim`, by a read where the key is still another request's."""
        return self.claims.get(claim.account_id, claim.key_id, self.now_ms()) or self.claim(claim)

    def as_it_stands(self, claim: Claim, grant: Grant) -> Claim:
        """A claim whose process has died is lost, for good: what a process that was only held up does with it later is
        refused. Errors: StoreUnavailable."""
        if claim.status != "running" or self._may_run(claim, grant):
            return claim
        if self.claims.end(claim, "lost"):
            return replace(claim, status="lost")
        return self.claims.get(claim.account_id, claim.key_id, self.now_ms()) or claim

    def _may_run(self, claim: Claim, grant: Grant) -> bool:
        now_ms = self.now_ms()
        if (lease := grant.leases.get(claim.request_id)) is not None:
            return not lease.abandoned(now_ms)
        if now_ms - request_time_ms(claim.request_id) < CLAIM_MS:
            return True
        record = self.store.record(claim.account_id, claim.request_id)  # put before the lease goes
        return record is not None and now_ms < record.created_ms + (record.response_time_ms or 0) + ENDING_MS

    def ending(self, claim: Claim, answer: KeptAnswer | None, outcome: int, *, admitted: bool | None) -> Status | None:
        """What an answered claim becomes; None: its key is free again. The answer, None if it broke off, is kept if it
        is to be. `outcome`: the HTTP status, of a stream that of its end. `admitted`: None if that is not known."""
        if outcome in NEVER_KEPT or not (self._was_admitted(claim) if admitted is None else admitted):
            return None
        if answer is None:
            return "lost"
        if len(answer.body) > MOST_ANSWER_BYTES:
            return "untold"
        try:
            self.answers.put(claim, answer)
        except errors.StoreUnavailable:
            log.warning("an answer was not kept", extra={"request_id": claim.request_id})
            return "untold"
        return "kept"

    def _was_admitted(self, claim: Claim) -> bool:
        """Also if the store does not say: better no second execution than two charges."""
        try:
            grant = self.store.grant(claim.account_id)
            return (grant is not None and claim.request_id in grant.leases) or (
                self.store.record(claim.account_id, claim.request_id) is not None
            )
        except errors.StoreUnavailable:
            return True

    def end(self, claim: Claim, status: Status | None) -> bool:
        """Whether the store took it."""
        try:
            if status is None:
                self.claims.free(claim, self.now_ms())
            else:
                self.claims.end(claim, status)
        except errors.StoreUnavailable:
            return False
        return True
