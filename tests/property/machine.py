"""Random calls of the real admission, checkpoint and settlement, compared with the model in `model.py`.

Three instances share one store. Each has its own memory of accounts and its own clock, which may be wrong by minutes.
Limits divide a minute's nanoseconds, so that the code's integers equal the model's fractions.
"""

from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sluice.domain import errors
from sluice.domain.gateway.admission import AdmissionRequest, Grant, Limits, TokenLimits, TokenUse
from sluice.domain.ids import request_id
from sluice.domain.usage.ledger import LedgerRecord
from sluice.domain.usage.pricing import Prices
from sluice.ports.gateway import Attempt
from sluice.services.gateway.admit import Admission, Admitted
from sluice.services.gateway.settle import Outcome, settle, settle_abandoned
from tests.property.model import MINUTE, SECOND, Model, Own, month_of

START_NS = 1_801_439_940 * SECOND  # 2027-01-31T23:59:00Z: the month ends in a minute
INSTANCES = 3
SWEEP_AFTER_NS = 10 * SECOND
TOKENS = ("tok_a", "tok_b", "tok_c")
ROTATED = {"tok_c": "tok_a"}  # so both have one set of limits and counters
A_TOKEN = Prices(1_000_000, 1_000_000)  # costs a micro-dollar
GUESS = Limits(60, 40_000, 4, 1_000_000)  # the limits an instance assumes for an account it has not seen

limits = st.builds(
    Limits,
    rpm=st.sampled_from((1, 2, 3, 5, 60, 0)),
    tpm=st.sampled_from((1, 100, 600, 1000, 40_000, 0)),
    concurrency=st.sampled_from((1, 2, 4, 100, 0)),
    monthly_tokens=st.sampled_from((1_000_000, 1500, 300, 50, 0)),
)
own_limits = st.builds(
    TokenLimits,
    rpm=st.sampled_from((None, 1, 3, 60, 0)),
    tpm=st.sampled_from((None, 100, 600, 40_000, 0)),
    monthly_tokens=st.sampled_from((None, 1_000_000, 700, 300, 0)),
    monthly_micro_usd=st.sampled_from((None, 10**9, 700, 300, 0)),
)
good_limits = limits.filter(lambda drawn: not drawn.any_zero and drawn.tpm > 1)
instances = st.integers(0, INSTANCES - 1)
reserves = st.sampled_from((1, 7, 40, 100, 250, 600, 1000))
tokens = st.sampled_from(TOKENS)
moves = st.sampled_from((1, 999_999, SECOND - 1, SECOND, 3 * SECOND, 11 * SECOND, 20 * SECOND, 45 * SECOND, MINUTE))

KIND = {
    errors.InvalidApiToken: {"caller"},
    errors.AccountSuspended: {"caller"},
    errors.InvalidModelRequest: {"never", "own never"},
    errors.QuotaExceeded: {"quota"},
    errors.TokenQuotaExceeded: {"own quota"},
    errors.InsufficientBudget: {"budget"},
    errors.TokenBudgetUsedUp: {"own budget"},
    errors.RateLimitExceeded: {"requests", "tokens", "blocked", "own requests", "own tokens"},
    errors.NothingAllowed: {"zero", "own zero"},
    errors.TooManyConcurrentRequests: {"concurrency"},
}


class Lossy:
    """A store that may lose an answer after it made the write."""

    def __init__(self, store: Any) -> None:
        self._store, self.lose, self.calls = store, False, 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*args: Any, **options: Any) -> Any:
            self.calls += 1
            answer = method(*args, **options)
            if self.lose:
                self.lose = False
                raise errors.StoreUnavailable()
            return answer

        return call


class AdmissionMachine(RuleBasedStateMachine):
    """A subclass implements `new_world`, `truth`, `change` and `records`."""

    store: Lossy
    account_id: str

    # --- implemented by a subclass

    def new_world(self, grant: Grant) -> None:
        raise NotImplementedError

    def change(self, **fields: Any) -> None:
        raise NotImplementedError

    def truth(self) -> Grant:
        raise NotImplementedError

    def records(self) -> dict[str, LedgerRecord]:
        raise NotImplementedError

    # --- set-up

    @initialize(drawn=good_limits)
    def begin(self, drawn: Limits) -> None:
        self.now = START_NS
        self.skews = [0] * INSTANCES
        live = {token: self.now // SECOND + 86_400 * 60 for token in TOKENS}
        year, month = month_of(self.now)
        self.new_world(Grant("", live, "good", drawn, period=year * 100 + month))
        self.instances = [Admission(self.store, GUESS) for _ in range(INSTANCES)]
        self.model = Model(drawn.rpm, drawn.tpm, drawn.concurrency, drawn.monthly_tokens, (year, month))
        self.model.families, self.priced = ROTATED, False
        self.model.live = {token: until * SECOND for token, until in live.items()}
        self.held: dict[str, Admitted] = {}
        self.paused: list[tuple[str, Admitted]] = []  # attempts of runs whose lease was taken over, or may have been
        self.changed_elsewhere = [True] * INSTANCES  # since the store last answered this instance
        self.refused_at: list[list[int]] = [[] for _ in range(INSTANCES)]

    def clock(self, instance: int) -> int:
        return self.now + self.skews[instance]

    @rule(by=moves)
    def time_passes(self, by: int) -> None:
        self.now += by

    @rule(instance=instances, skew=st.sampled_from((-3 * MINUTE, -5 * SECOND, -1, 0, 1, 5 * SECOND, 3 * MINUTE)))
    def a_clock_is_set(self, instance: int, skew: int) -> None:
        self.skews[instance] = skew

    # --- admissions

    @rule(instance=instances, token=tokens, reserve=reserves)
    def ask(self, instance: int, token: str, reserve: int) -> None:
        self._ask(instance, token, reserve, self.clock(instance))

    @rule(instance=instances, reserve=reserves, times=st.integers(2, 40))
    def ask_again_and_again(self, instance: int, reserve: int, times: int) -> None:
        for _ in range(times):
            self._ask(instance, TOKENS[0], reserve, self.clock(instance))

    @rule(instance=instances, token=tokens, reserve=reserves)
    def obey_the_wait(self, instance: int, token: str, reserve: int) -> None:
        """After a refusal, wait exactly as long as it says, send nothing else, and be admitted."""
        calls = self.store.calls
        refusal = self._ask(instance, token, reserve, self.clock(instance))
        if not isinstance(refusal, errors.Throttled) or self._hopeless(token, reserve):
            return
        if self.store.calls == calls and self.changed_elsewhere[instance]:
            return  # answered from memory: for up to a second an instance does not see changes by other instances
        self.now += refusal.retry_after_seconds * SECOND
        if isinstance(refusal, errors.TooManyConcurrentRequests):
            return  # here the wait is only a hint
        second = self._ask(instance, token, reserve, self.clock(instance))
        unrelated = errors.TooManyConcurrentRequests | errors.InvalidApiToken | errors.AccountSuspended
        assert second is None or isinstance(second, unrelated), (
            f"told to wait {refusal.retry_after_seconds} s ({refusal}), and then: {second!r}"
        )

    @rule(instance=instances, reserve=reserves, wait=st.sampled_from((1, SECOND - 1, SECOND, 2 * SECOND)))
    def a_flood_meets_relief(self, instance: int, reserve: int, wait: int) -> None:
        """An answer from memory must not be used for more than a second, however long its wait."""
        for _ in range(7):
            self._ask(instance, TOKENS[0], reserve, self.clock(instance))
        self.the_limits_are_set(GUESS)
        self.now += wait
        self._ask(instance, TOKENS[0], reserve, self.clock(instance))

    @rule(reserve=reserves)
    def the_month_turns_and_one_clock_is_behind(self, reserve: int) -> None:
        self.now = max(self.now, START_NS + MINUTE)
        self.skews = [0, -3 * MINUTE, 3 * MINUTE]
        for instance in (0, 1):
            self._ask(instance, TOKENS[0], reserve, self.clock(instance))

    def _hopeless(self, token: str, reserve: int) -> bool:
        """Whether the request is refused however long it waits."""
        limits = (self.model.rpm, self.model.tpm, self.model.concurrency, self.model.monthly)
        own, cost = self.model.own.get(self.model.family(token), Own(None, None, None, None)), self._cost(reserve)
        most = ((cost, self.model.budget), (reserve, own.tpm), (reserve, own.monthly), (cost, own.budget), (1, own.rpm))
        too_much = any(limit is not None and wanted > limit for wanted, limit in most)
        return 0 in limits or reserve > min(self.model.tpm, self.model.monthly) or too_much

    def _cost(self, reserve: int) -> int:
        return reserve if self.priced else 0

    def _request(self, token: str, reserve: int, now: int, *, stream: bool = False, epoch: int = 0) -> AdmissionRequest:
        names = (self.account_id, request_id(now // 1_000_000), token, reserve, "demo", "completions", stream)
        prices = A_TOKEN if self.priced else None
        return AdmissionRequest(*names, ROTATED.get(token, ""), self._cost(reserve), prices, epoch=epoch)

    def _ask(
        self, instance: int, token: str, reserve: int, now: int, request: AdmissionRequest | None = None
    ) -> Exception | None:
        self.sound, calls = False, self.store.calls
        request = request or self._request(token, reserve, now)
        run = request.epoch > 0
        try:
            admitted = self.instances[instance].admit(request, now)
        except errors.SluiceError as refusal:
            self._note_what_the_store_did(now)
            self._check_refusal(instance, refusal, token, reserve, now, run=run)
            self.changed_elsewhere[instance] &= self.store.calls == calls
            self.sound = True
            return refusal
        self._make_room(now)
        cost = self._cost(reserve)
        assert self.model.problems(token, reserve, cost, now, run=run) == set(), "admitted, and the model refuses"
        self.model.admit(request.request_id, token, reserve, cost, now, run=run)
        self.held[request.request_id] = admitted
        self.changed_elsewhere = [True] * INSTANCES
        self.sound = True
        return None

    def _check_refusal(
        self, instance: int, refusal: Exception, token: str, reserve: int, now: int, *, run: bool = False
    ) -> None:
        cost = self._cost(reserve)
        if self.model.problems(token, reserve, cost, now, run=run) == {"concurrency"}:
            self._make_room(now)
        problems = self.model.problems(token, reserve, cost, now, run=run)
        kept = self.refused_at[instance]
        throttled = isinstance(refusal, errors.Throttled) and not isinstance(refusal, errors.TooManyConcurrentRequests)
        # Answered from memory, which may be a second old, while the reason of the refusal may have just gone.
        remembered = throttled and any(0 <= now - at < SECOND for at in kept)
        known = problems or "no reason"
        assert problems & KIND[type(refusal)] or remembered, f"{refusal!r}, and the model knows {known}"
        if isinstance(refusal, errors.InvalidModelRequest):  # wrong in form, so it takes a request
            self.model.requests.take(Fraction(1, self.model.rpm), now)
            own = self.model.own.get(self.model.family(token))
            if own is not None and own.rpm:
                own.requests.take(Fraction(1, own.rpm), now)
        if isinstance(refusal, errors.TooManyConcurrentRequests):
            self._make_room(now)
            assert not self.model.expired(now), "refused for concurrency, and expired leases were left"
        if throttled:
            kept.append(now)

    def _make_room(self, now: int) -> None:
        """Admission settles all expired leases when it is refused for concurrency, and only then. A refusal from memory
        settles none."""
        if len(self.model.running) < self.model.concurrency:
            return
        expired = self.model.expired(now)
        left = set(self.truth().leases) & set(expired)
        assert not left or left == set(expired)
        for name in expired if not left else ():
            self.model.settle_interrupted(name)

    def _note_what_the_store_did(self, now: int) -> None:
        """The code decides to block for flooding; this checks that there was a flood."""
        until = self.truth().blocked_until_ms * 1_000_000
        if until == self.model.blocked_until:
            return
        floods = [sum(1 for at in kept if abs(now - at) < MINUTE) for kept in self.refused_at]
        assert max(floods) + 1 > 10 * max(1, self.model.rpm), "blocked without a flood"
        assert until >= now - now % 1_000_000 + MINUTE
        self.model.blocked_until = until

    # --- running requests

    @rule(data=st.data(), instance=instances, used=st.integers(0, 1200), twice=st.booleans())
    def a_request_ends(self, data: st.DataObject, instance: int, used: int, twice: bool) -> None:
        """Also with more tokens than reserved, and by a holder that returns after the sweeper settled its lease."""
        if not self.held:
            return
        name = data.draw(st.sampled_from(list(self.held)))
        admitted = self.held.pop(name)
        for _ in range(1 + twice):
            _, attempt = settle(
                self.store, self.account_id, name, admitted.lease, Outcome(200, used // 2, used - used // 2)
            )
        self.instances[instance].remember(attempt.grant)
        self.model.settle(name, used)
        self.changed_elsewhere = [True] * INSTANCES  # because it may have used more than it reserved

    @rule(data=st.data(), instance=instances, share=st.fractions(0, 1, max_denominator=20))
    def a_request_goes_on(self, data: st.DataObject, instance: int, share: Fraction) -> None:
        if not self.held:
            return
        name = data.draw(st.sampled_from(list(self.held)))
        admitted, now = self.held[name], self.clock(instance)
        prompt, completion = 0, int(admitted.lease.reserved_tokens * share)
        lease = admitted.lease.with_progress(prompt, completion)
        attempt: Attempt = self.store.checkpoint(self.account_id, name, lease, now // 1_000_000)
        welcome = self.model.live.get(lease.token_id, 0) > now - now % SECOND and not self.model.suspended
        assert attempt.made == (welcome and name in self.model.running)
        if attempt.made:
            held = self.model.running[name]
            held.expires = now - now % 1_000_000 + 30 * SECOND
            held.prompt, held.completion = prompt, completion
            self.held[name] = replace(admitted, lease=lease)

    @rule(data=st.data())
    def a_holder_dies(self, data: st.DataObject) -> None:
        if self.held:
            del self.held[data.draw(st.sampled_from(list(self.held)))]

    @rule(data=st.data(), share=st.fractions(0, 1, max_denominator=20))
    def a_holder_dies_between_the_two_writes(self, data: st.DataObject, share: Fraction) -> None:
        """Its record and its lease remain, and the sweeper gives back what the record shows as unused."""
        if not self.held:
            return
        name = data.draw(st.sampled_from(list(self.held)))
        admitted = self.held.pop(name)
        used = int(admitted.lease.reserved_tokens * share)
        self.store.lose = True
        with suppress(errors.StoreUnavailable):
            settle(self.store, self.account_id, name, admitted.lease, Outcome(200, 0, used))
        if name in self.model.running:
            self.model.ledger.setdefault(name, (used, self.model.running[name].month))

    # --- runs

    @rule(instance=instances, token=tokens, reserve=reserves)
    def a_run_is_executed(self, instance: int, token: str, reserve: int) -> None:
        now = self.clock(instance)
        self._ask(instance, token, reserve, now, self._request(token, reserve, now, epoch=1))

    @rule(data=st.data(), instance=instances)
    def a_run_comes_twice(self, data: st.DataObject, instance: int) -> None:
        """While its lease exists, it is not admitted again, whoever asks."""
        runs = [name for name, held in self.model.running.items() if held.run]
        if not runs:
            return
        name, now = data.draw(st.sampled_from(runs)), self.clock(instance)
        lease = self.truth().leases[name]
        again = replace(self._request(lease.token_id, lease.reserved_tokens, now), request_id=name, epoch=lease.epoch)
        try:
            self.instances[instance].admit(again, now)
            raise AssertionError("a run was admitted twice")
        except errors.SluiceError as refusal:
            self._note_what_the_store_did(now)
            if not isinstance(refusal, errors.Conflict):
                self._check_refusal(instance, refusal, lease.token_id, lease.reserved_tokens, now, run=True)

    @rule(data=st.data(), instance=instances)
    def a_run_is_taken_over(self, data: st.DataObject, instance: int) -> None:
        """If its lease has expired. Nothing that the attempt before it still writes is taken."""
        runs = [name for name, held in self.model.running.items() if held.run]
        if not runs:
            return
        name, now = data.draw(st.sampled_from(runs)), self.clock(instance)
        lease = self.truth().leases[name]
        attempt = self.store.take_over(self.account_id, name, lease, now // 1_000_000)
        assert attempt.made == (name in self.model.expired(now, runs=True))
        if not attempt.made or attempt.grant is None:
            return
        taken = attempt.grant.leases[name]
        assert (taken.epoch, taken.prompt_tokens, taken.completion_tokens) == (
            lease.epoch + 1,
            lease.prompt_tokens,
            lease.completion_tokens,
        )
        assert not self.store.take_over(self.account_id, name, lease, now // 1_000_000).made
        request = self._request(lease.token_id, lease.reserved_tokens, now, epoch=taken.epoch)
        if (before := self.held.get(name)) is not None:
            self.paused.append((name, before))
        self.held[name] = Admitted(replace(request, request_id=name), taken, attempt.grant)
        self.model.running[name].expires = now - now % 1_000_000 + 30 * SECOND

    @rule(data=st.data(), instance=instances)
    def a_paused_attempt_goes_on(self, data: st.DataObject, instance: int) -> None:
        if not self.paused:
            return
        (name, admitted), now_ms = data.draw(st.sampled_from(self.paused)), self.clock(instance) // 1_000_000
        assert not self.store.checkpoint(self.account_id, name, admitted.lease, now_ms).made
        assert not self.store.checkpoint(self.account_id, name, admitted.lease, now_ms, settling=True).made
        assert not self.store.take_over(self.account_id, name, admitted.lease, now_ms).made

    @rule(instance=instances)
    def the_sweeper_runs(self, instance: int) -> None:
        now = self.clock(instance)
        for name, lease in list(self.truth().leases.items()):
            abandoned = name in self.model.expired(now, after=SWEEP_AFTER_NS, runs=True)
            assert lease.abandoned(now // 1_000_000) == abandoned
            if abandoned and lease.epoch:
                if not lease.given_up(now // 1_000_000):
                    continue
                assert self.store.take_over(self.account_id, name, lease, now // 1_000_000).made
                lease = replace(lease, epoch=lease.epoch + 1)
            if abandoned:
                settle_abandoned(self.store, self.account_id, name, lease)
                self.model.settle_interrupted(name)

    @rule(instance=instances, reserve=reserves, again=st.booleans())
    def an_answer_gets_lost(self, instance: int, reserve: int, again: bool) -> None:
        """The write may be made, but the instance gets no answer. A retry with the same id is charged only once."""
        now = self.clock(instance)
        request = self._request(TOKENS[0], reserve, now, stream=True)
        self.store.lose = True
        try:
            self.instances[instance].admit(request, now)
            raise AssertionError("the answer was heard")
        except errors.StoreUnavailable:
            pass
        except errors.Throttled as refusal:  # answered from memory, without a call to the store
            self.store.lose = False
            self._check_refusal(instance, refusal, TOKENS[0], reserve, now)
            return
        made = request.request_id in self.truth().leases
        self.changed_elsewhere = [True] * INSTANCES
        if made:
            assert self.model.problems(TOKENS[0], reserve, request.reserve_micro_usd, now) == set()
            self.model.admit(request.request_id, TOKENS[0], reserve, request.reserve_micro_usd, now)
        if made and again:
            repeated = self.instances[instance].admit(request, now)
            assert repeated.lease == self.truth().leases[request.request_id]
            self.held[request.request_id] = repeated

    # --- changes to the account from outside

    @rule(token=tokens)
    def a_token_is_revoked(self, token: str) -> None:
        live = {key: until for key, until in self.truth().live.items() if key != token}
        self.change(live=live)
        self.model.live.pop(token, None)

    @rule(token=tokens, seconds=st.sampled_from((1, 60, 86_400)))
    def a_token_is_issued(self, token: str, seconds: int) -> None:
        until = self.now // SECOND + seconds
        self.change(live={**self.truth().live, token: until})
        self.model.live[token] = until * SECOND

    @rule(standing=st.sampled_from(("good", "good", "suspended")))
    def the_standing_is_set(self, standing: str) -> None:
        self.change(standing=standing)
        self.model.suspended = standing != "good"

    @rule(drawn=st.one_of(good_limits, good_limits, limits))
    def the_limits_are_set(self, drawn: Limits) -> None:
        self.change(limits=drawn)
        self.changed_elsewhere = [True] * INSTANCES
        self.model.rpm, self.model.tpm = drawn.rpm, drawn.tpm
        self.model.concurrency, self.model.monthly = drawn.concurrency, drawn.monthly_tokens

    @rule(token=st.sampled_from(("tok_a", "tok_b")), drawn=st.one_of(own_limits, st.none()))
    def a_tokens_own_limits_are_set(self, token: str, drawn: TokenLimits | None) -> None:
        """What it has used stays, unless it has no limits any more."""
        uses, own = dict(self.truth().token_limits), self.model.own
        self.changed_elsewhere = [True] * INSTANCES
        if drawn is None:
            uses.pop(token, None)
            own.pop(token, None)
        else:
            uses[token] = replace(uses.get(token, TokenUse(drawn)), limits=drawn)
            mine = own.setdefault(token, Own(None, None, None, None))
            mine.rpm, mine.tpm, mine.monthly, mine.budget = vars(drawn).values()
        self.change(token_limits=uses)

    @rule(budget=st.sampled_from((None, 10**9, 2000, 500, 0)), priced=st.booleans())
    def money_is_set(self, budget: int | None, priced: bool) -> None:
        self.change(monthly_micro_usd=budget)
        self.changed_elsewhere = [True] * INSTANCES
        self.model.budget, self.priced = budget, priced

    # --- invariants

    @invariant()
    def the_store_is_as_the_model_says(self) -> None:
        if not hasattr(self, "model"):
            return
        grant, model = self.truth(), self.model
        assert set(grant.leases) == set(model.running)
        assert (grant.period, grant.period_tokens) == (model.month[0] * 100 + model.month[1], model.used)
        records = self.records()
        assert {n: r.total_tokens for n, r in records.items()} == {n: used for n, (used, _) in model.ledger.items()}
        reserved = sum(lease.reserved_tokens for lease in grant.leases.values() if lease.period == grant.period)
        half = {name for name in model.running if name in model.ledger}
        spent = sum(r.total_tokens for n, r in records.items() if r.period == grant.period and n not in half)
        assert grant.period_tokens == reserved + spent, "the quota is not the sum of the ledger"
        assert grant.period_micro_usd == model.spent
        levels = [(grant.tat_requests_ns, model.requests), (grant.tat_tokens_ns, model.tokens)]
        assert set(grant.token_limits) == set(model.own)
        for family, own in model.own.items():
            use = grant.token_limits[family]
            assert (use.tokens, use.micro_usd) == (own.used, own.spent)
            levels += [(use.tat_requests_ns, own.requests), (use.tat_tokens_ns, own.tokens)]
        for tat_ns, bucket in levels:
            free = 1 - max(0, tat_ns - self.now) / MINUTE
            assert abs(free - float(bucket.free(self.now))) < 1e-6, "the bucket's level"

    def teardown(self) -> None:
        """All holders die. After one sweep nothing runs, and each admission has exactly one record."""
        if not getattr(self, "sound", True) or not hasattr(self, "model"):
            return  # it has failed already, and a second failure would hide the first
        self.now += 24 * 60 * MINUTE
        self.skews = [0] * INSTANCES
        self.the_sweeper_runs(0)
        self.the_store_is_as_the_model_says()
        assert self.truth().leases == {}
