"""Admit a request, or say exactly which rule refused it: one conditional write, two at most.

The process guesses the account's limits and bucket forms from the grant that it saw last. The store refuses a wrong
guess and returns the current grant, from which the second write is made. A third write is needed only if a settlement
or another request changed a bucket's form in between, or after expired leases were settled.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from sluice.domain import errors
from sluice.domain.gateway.admission import GOOD, AdmissionRequest, Grant, Limits, forms_for, lease_for, without_lease
from sluice.domain.gateway.buckets import WINDOW_NS
from sluice.domain.gateway.decision import FLOOD_FACTOR, caller_refusal, decide, decide_malformed, next_block_seconds
from sluice.domain.gateway.leases import Lease
from sluice.domain.gateway.plans import in_force, in_plan, plan_change
from sluice.domain.periods import period_of
from sluice.domain.settings.terms import NO_TERMS, Terms
from sluice.domain.usage.ledger import LedgerRecord
from sluice.frozen import frozen
from sluice.ports.gateway import Attempt, HotStore
from sluice.services.gateway.fit import Fit
from sluice.services.gateway.settle import settle_abandoned

log = logging.getLogger("sluice.admission")

MAX_WRITES = 4
KEEP_ACCOUNTS = 10_000
REFUSAL_KEPT_NS = 1_000_000_000
# A refusal is answered from memory only once an account floods. The first few always ask the store, so an account that
# is merely over its limit gets the error for a revoked API token at once (docs/adr/0007-refusal-cache.md).
FLOOD_STARTS_AT = 5
FLOODING = (errors.RateLimitExceeded, errors.QuotaExceeded, errors.InsufficientBudget)  # refusals that count for it


@dataclass(frozen=True)
class Plans:
    """The owner's terms as this process knows them, and as they are read from the store now."""

    current: Callable[[], Terms]
    newest: Callable[[], Terms]


NO_PLANS = Plans(lambda: NO_TERMS, lambda: NO_TERMS)


@frozen
class Admitted:
    """The lease to settle, and the grant as it stood after the admission."""

    request: AdmissionRequest
    lease: Lease
    grant: Grant


@dataclass
class _Refusals:
    """The recent refusals of one account in this process."""

    since_ns: int
    count: int = 0
    last_ns: int = 0
    last_token: str = ""
    last_malformed_ns: int = 0  # the last that was refused for its rate although it was wrong in form

    def is_flood_of(self, token_id: str, since_ns: int, now_ns: int) -> bool:
        """Whether an answer from memory is right: a flood of this API token, refused by the store within a second."""
        is_fresh = 0 <= now_ns - since_ns < REFUSAL_KEPT_NS
        return self.count >= FLOOD_STARTS_AT and token_id == self.last_token and is_fresh


class Admission:
    """Safe to use from many threads, because it keeps only guesses, and the store decides."""

    def __init__(
        self,
        store: HotStore,
        defaults: Limits,
        on_writes: Callable[[int], None] = lambda writes: None,
        plans: Plans = NO_PLANS,
    ) -> None:
        self._store = store
        self._defaults = defaults
        self._plans = plans
        self._on_writes = on_writes  # gets the number of writes an admission took, for the metrics
        self._seen: OrderedDict[str, Grant] = OrderedDict()
        self._refused: OrderedDict[str, _Refusals] = OrderedDict()

    def admit(self, request: AdmissionRequest, now_ns: int, fit: Fit | None = None) -> Admitted:
        """`fit`: makes the request fit the grant that is seen. Errors: InvalidApiToken, AccountSuspended,
        RateLimitExceeded, QuotaExceeded, InsufficientBudget, TooManyConcurrentRequests, InvalidModelRequest (could
        never fit), ModelNotFound (not in the plan), StoreUnavailable, and those of `fit`."""
        self._refuse_floods(request, fit, now_ns)
        try:
            return self._admit(request, now_ns, fit)
        except (errors.InvalidModelRequest, errors.ModelNotFound):  # it could never be admitted: wrong in form
            self.charge_malformed(request.account_id, request.token_id, now_ns, request.family)
            raise
        except FLOODING as refusal:
            if not request.counts:  # the queue asks again, and not the caller
                raise
            who = self._flooder(request.account_id, request.token_id, request.family)
            self._count(who, request.token_id, now_ns)
            if who == request.account_id and self._block_floods(who, now_ns // 1_000_000):
                seen = self._judged(self._seen[request.account_id], self._plans.current())
                raise (decide(seen, request, now_ns) or refusal) from refusal  # now the block is the wait
            raise

    def charge_malformed(self, account_id: str, token_id: str, now_ns: int, family: str = "") -> None:
        """Count a request that is wrong in form against the requests a minute. It holds no lease and leaves no ledger
        record. Errors: InvalidApiToken, AccountSuspended, RateLimitExceeded, StoreUnavailable."""
        guess = self._seen.get(account_id) or self._first_guess(account_id, now_ns // 1_000_000)
        for _ in range(MAX_WRITES):
            attempt = self._store.charge_malformed(guess, token_id, now_ns, family)
            guess = self._known(attempt)
            if attempt.made:
                return
            refusal = decide_malformed(guess, token_id, now_ns, family)
            if isinstance(refusal, errors.RateLimitExceeded):
                who = self._flooder(account_id, token_id, family)
                self._count(who, token_id, now_ns).last_malformed_ns = now_ns
                if who == account_id:
                    self._block_floods(account_id, now_ns // 1_000_000)
            if refusal is not None:
                raise decide_malformed(self._seen[account_id], token_id, now_ns, family) or refusal
        raise errors.Overloaded(retry_after_seconds=1)

    def refuse_malformed_floods(self, account_id: str, token_id: str, now_ns: int, family: str = "") -> None:
        """Before a body is read: refuse an account that floods with requests that are wrong in form and has no request
        left, as `_refuse_floods` does. Errors: RateLimitExceeded."""
        kept, seen = self._refused.get(self._flooder(account_id, token_id, family)), self._seen.get(account_id)
        if kept is None or seen is None or not kept.is_flood_of(token_id, kept.last_malformed_ns, now_ns):
            return
        refusal = decide_malformed(seen, token_id, now_ns, family)
        if isinstance(refusal, errors.RateLimitExceeded):
            kept.count += 1
            raise refusal

    def _admit(self, request: AdmissionRequest, now_ns: int, fit: Fit | None) -> Admitted:
        now_ms, terms = now_ns // 1_000_000, self._plans.current()
        guess = self._seen.get(request.account_id) or self._first_guess(request.account_id, now_ms)
        swept = False
        if fit is not None:
            request, _ = fit(self._judged(guess, terms), now_ns)
        for writes in range(1, MAX_WRITES + 1):
            if (guess.plan_version or 0) > terms.newest:  # another process knows newer settings
                terms = self._plans.newest()
            guess = self._with_model(guess, terms, request.model)
            change = plan_change(guess, terms, self._defaults)
            judged = in_plan(guess, change)
            lease = lease_for(request, judged, now_ns)
            attempt = self._store.admit(request, guess, forms_for(judged, request, now_ns), lease, now_ns, change)
            guess = self._known(attempt)
            ours = guess.leases.get(request.request_id)
            if not request.counts and ours is not None and not attempt.made:
                raise errors.Conflict("Another process executes this run.")
            if attempt.made or ours is not None:  # a retry after an unclear answer finds its own lease
                self._on_writes(writes)
                return Admitted(request, ours or lease, guess)
            judged = self._judged(guess, terms)
            request, refusal = fit(judged, now_ns) if fit else (request, decide(judged, request, now_ns))
            if isinstance(refusal, errors.TooManyConcurrentRequests) and not swept:
                swept = True
                if self._settle_expired(guess, now_ms):
                    continue
            if refusal is not None:
                self._on_writes(writes)
                raise refusal
        # Another request changed the grant before each of our writes. This is possible under a burst, but unlikely.
        log.warning("admission gave up after %s writes", MAX_WRITES)
        raise errors.Overloaded(retry_after_seconds=1)

    def check(self, account_id: str, token_id: str, now_ms: int) -> Grant:
        """Check the API token by a consistent read, for requests that use no capacity (`GET`).
        Errors: InvalidApiToken, AccountSuspended, StoreUnavailable."""
        grant = self._store.grant(account_id)
        if grant is None:
            raise errors.InvalidApiToken("This API token belongs to no account.")
        refusal = caller_refusal(grant, token_id, now_ms)
        if refusal is not None:
            raise refusal
        self._remember(grant)
        return grant

    def remember(self, grant: Grant | None) -> None:
        """Keep the grant that a settlement or checkpoint returned, because it improves the next guess."""
        if grant is not None:
            self._remember(grant)

    def released(self, record: LedgerRecord, lease: Lease) -> None:
        """The same for a settlement of which the store returned no grant."""
        seen = self._seen.get(record.account_id)
        if seen is not None and record.request_id in seen.leases:
            self._remember(without_lease(seen, lease, record))

    def seen(self, account_id: str) -> Grant | None:
        """The account's grant as this process saw it last. It may be stale: use it for headers, not for decisions."""
        grant = self._seen.get(account_id)
        return None if grant is None else self._judged(grant, self._plans.current())

    def _judged(self, grant: Grant, terms: Terms) -> Grant:
        return in_force(grant, terms, self._defaults)

    def _with_model(self, guess: Grant, terms: Terms, model: str) -> Grant:
        """The guess, or the grant from the store where by the guess the plan lacks the model. The write holds only for
        the plan that was guessed. Errors: ModelNotFound."""
        if terms.plan(guess.plan).allows(model):
            return guess
        grant = self._store.grant(guess.account_id)
        if grant is None or not terms.plan(grant.plan).allows(model):
            raise errors.ModelNotFound(f"The model {model!r} does not exist or you do not have access to it.")
        return grant

    def _settle_expired(self, grant: Grant, now_ms: int) -> int:
        """Settle the expired leases, except those of runs. → how many."""
        expired = [
            (identifier, lease)
            for identifier, lease in grant.leases.items()
            if lease.expired(now_ms) and not lease.epoch  # a run goes on with its next attempt
        ]
        for identifier, lease in expired:
            settle_abandoned(self._store, grant.account_id, identifier, lease)
        return len(expired)

    def _first_guess(self, account_id: str, now_ms: int) -> Grant:
        """An account of the default plan, whose limits were written by the settings in force."""
        terms = self._plans.current()
        plan = terms.plan("")
        guess = Grant(account_id, {}, GOOD, replace(self._defaults, **plan.limits), period=period_of(now_ms))
        return replace(guess, monthly_micro_usd=plan.monthly_micro_usd, plan_version=terms.version or None)

    def _known(self, attempt: Attempt) -> Grant:
        """The grant that an attempt returned, remembered. Errors: InvalidApiToken if there is none."""
        if attempt.grant is None:
            raise errors.InvalidApiToken("This API token belongs to no account.")
        self._remember(attempt.grant)
        return attempt.grant

    def _remember(self, grant: Grant) -> None:
        self._seen[grant.account_id] = grant
        self._seen.move_to_end(grant.account_id)
        while len(self._seen) > KEEP_ACCOUNTS:
            self._seen.popitem(last=False)

    # --- floods

    def _refuse_floods(self, request: AdmissionRequest, fit: Fit | None, now_ns: int) -> None:
        """While an account floods, answer from the grant as last seen, for at most a second after the store refused.

        The refusal is computed for this request, so its wait is correct for the grant in memory. Only the requests that
        other instances admitted within that second are missing.
        """
        who = self._flooder(request.account_id, request.token_id, request.family)
        kept, seen = self._refused.get(who), self._seen.get(request.account_id)
        if kept is None or seen is None or not kept.is_flood_of(request.token_id, kept.last_ns, now_ns):
            return
        fewest = fit.fewest if fit else request
        refusal = decide(self._judged(seen, self._plans.current()), fewest, now_ns)
        if isinstance(refusal, FLOODING):
            kept.count += 1
            raise refusal

    def _flooder(self, account_id: str, token_id: str, family: str) -> str:
        """Whose refusals count together: the account's, but those of a publishable API token alone, because its
        visitors are strangers who must not get the account blocked."""
        seen = self._seen.get(account_id)
        use = seen.token_limits.get(family or token_id) if seen else None
        return token_id if use and use.public else account_id

    def _count(self, who: str, token_id: str, now_ns: int) -> _Refusals:
        kept = self._refused.get(who)
        if kept is None or not 0 <= now_ns - kept.since_ns < WINDOW_NS:
            kept = self._refused[who] = _Refusals(now_ns)
            while len(self._refused) > KEEP_ACCOUNTS:
                self._refused.popitem(last=False)
        kept.count += 1
        kept.last_ns, kept.last_token = now_ns, token_id
        return kept

    def _block_floods(self, account_id: str, now_ms: int) -> bool:
        """Block an account that floods. → whether this process or another one has blocked it just now."""
        kept, grant = self._refused[account_id], self._seen.get(account_id)
        if grant is None or grant.blocked_until_ms > now_ms or kept.count <= FLOOD_FACTOR * max(1, grant.limits.rpm):
            return False
        kept.count = 0
        try:
            attempt = self._store.block(grant, next_block_seconds(grant, now_ms), now_ms)
        except errors.StoreUnavailable:
            return False  # the refusal stays as it is; the next flood is blocked
        self.remember(attempt.grant)
        return attempt.grant is not None
