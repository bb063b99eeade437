"""The execution of a run by its worker: the same exchange as a request's, its events stored instead of sent.

    claim ─ admit ─ begin ─ events in blocks ─ store the response ─ settle ─ last block ─ end the row

The response is stored before it is settled, so that what is charged is there, and the row ends last, so that whoever
reads `completed` finds both.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sluice.domain import errors
from sluice.domain.gateway.responses import Assembly
from sluice.domain.runs import Run
from sluice.domain.settings.terms import LOCAL
from sluice.http.errors import ledger_status
from sluice.http.gateway.background import claims_of
from sluice.http.gateway.complete import renamed
from sluice.http.gateway.respond import Draft
from sluice.http.gateway.responses import ResponsesDialect
from sluice.http.gateway.responses_requests import ResponseBody
from sluice.http.gateway.streaming import DONE, Body
from sluice.services.gateway.answer import Answer
from sluice.services.gateway.exchange import COME_AGAIN, ClientGone, Exchange
from sluice.services.gateway.request import RequestContext, RunContext, Superseded
from sluice.services.gateway.settle import Outcome
from sluice.services.runs import Claimed, Watch
from sluice.wiring.gateway import gateway, stored_responses
from sluice.wiring.runs import runs

log = logging.getLogger("sluice.worker")

BLOCK_SECONDS = 0.25  # the longest time that an event waits for others, while there are any
BLOCK_BYTES = 64 * 1024
ANSWERED = {"completed": "stop", "incomplete": "length"}  # status of a stored answer: why it ended
UNFINISHED = ("failed", "incomplete")
STORE_TRIES, STORE_PAUSE_SECONDS = 5, 1.0  # for the answer, which is lost without


def execute(claimed: Claimed, seconds_left: Callable[[], float]) -> None:
    """Errors: StoreUnavailable: the message is to come again."""
    now_ms, run = gateway().now_ms(), claimed.run
    run = replace(run, deaths=run.deaths + (claimed.taken is not None))
    try:
        stored = stored_responses().get(run.account_id, run.response_id, now_ms)
    except errors.NotFound:  # deleted
        runs().rows.end(run, "cancelled")
        return
    if stored.run is None:  # it has ended, but a process died or still has to settle it, or to end the row
        runs().close(claimed, _stored_outcome(stored.response, claimed))
        return
    try:
        body = ResponseBody.model_validate({**stored.run["body"], "input": ""})
        draft = Draft(claims_of(stored.run["claims"]), body, stored.messages, now_ms, run)
    except (LookupError, TypeError, ValueError):
        log.exception("a run cannot be read, and fails", extra={"request_id": run.run_id})
        runs().close(claimed)
        return
    _Execution(claimed, run, draft, seconds_left).run()


class _Execution:
    def __init__(self, claimed: Claimed, run: Run, draft: Draft, seconds_left: Callable[[], float]) -> None:
        self._claimed, self._run, self._draft = claimed, run, draft
        self._assembly = draft.empty("")
        self._epoch = run.epoch  # that the row has
        of_run = RunContext(claimed.epoch, claimed.taken, self._has_lease)
        self._watch = Watch(runs().rows, run)
        self._context = RequestContext(run.run_id, ledger_status, self._watch.is_cancelled, seconds_left, run=of_run)
        self._exchange: Exchange | None = None

    def _has_lease(self) -> None:
        runs().begin(self._claimed)
        self._epoch = self._claimed.epoch

    def run(self) -> None:
        try:
            body = self._begin()
        except Superseded:
            runs().end_settled(self._run)
            return
        except errors.Conflict:
            return
        except ClientGone:
            self._end()
            return
        except errors.SluiceError as refusal:
            may_wait = isinstance(refusal, (errors.Throttled, *COME_AGAIN))
            if not may_wait or not runs().come_again(self._run, refusal):
                self._refuse(refusal)
            return
        try:
            self._relay(body)
        finally:
            body.close()

    def _begin(self) -> "_RunBody":
        """Admit, and wait for the model's first event. An error settles the exchange, or gives its lease back."""
        model = gateway().model_for(self._draft.claims, self._draft.body.model, "chat")
        begun = self._draft.asked(model, self._dialect).begin(self._context)
        self._exchange = begun.exchange
        body = _RunBody(*begun)
        for _ in body.beginning():
            pass
        return body

    def _dialect(self, answer: Answer) -> ResponsesDialect:
        def store(done: Assembly) -> None:
            if answer.exchange.holds() and not self._stored(done):
                raise errors.StoreUnavailable("The response could not be stored.")

        self._assembly = self._draft.assembly(answer.sources)
        dialect = ResponsesDialect(self._assembly, store)
        dialect.silence = b""  # a follower makes its own comments; a block of nothing else would have no number
        return dialect

    def _stored(self, done: Assembly) -> bool:
        for _ in range(STORE_TRIES):
            if self._draft.store(done):
                return True
            if self._watch.is_cancelled(now=True):  # and deleted, so that there is nothing to store it in
                raise ClientGone()
            time.sleep(STORE_PAUSE_SECONDS)
        return False

    def _relay(self, body: "_RunBody") -> None:
        blocks = _Blocks(self._run)
        for events in body:
            if self._is_superseded():
                return
            if events.endswith(DONE) and self._watch.is_cancelled(now=True):  # then none says that it was completed
                break
            blocks.add(events.replace(DONE, b""), self._assembly.sequence)
        if self._is_superseded():
            return
        blocks.flush()
        self._end()

    def _is_superseded(self) -> bool:
        return self._exchange is not None and self._exchange.superseded

    def _refuse(self, refusal: errors.SluiceError) -> None:
        refusal = renamed(refusal, self._draft.body.field_of)
        events = ResponsesDialect(self._assembly, lambda done: None).failed(refusal)
        blocks = _Blocks(self._run)
        blocks.add(events, self._assembly.sequence)
        blocks.flush()
        self._end()

    def _end(self) -> None:
        """Of a response that failed or was cancelled, what there is of it is stored now."""
        status = self._assembly.response["status"]
        if status == "failed":
            self._draft.store(self._assembly)
        if status != "in_progress":
            if runs().rows.end(self._run, status if status in UNFINISHED else "completed", self._epoch):
                return
            now = runs().rows.get(self._run.account_id, self._run.run_id)
            if now is None or now.status != "cancelled":
                return
        self._assembly.cancel()
        self._draft.store(self._assembly)


class _RunBody(Body):
    def _end(self, reason: str | None, held: list[bytes]) -> bytes:
        ending = self._dialect.ending(held)
        self._exchange.settle(200, reason)
        return ending


class _Blocks:
    """Collects events, and stores them when they are many, or the last time is long ago."""

    def __init__(self, run: Run) -> None:
        self._run, self._first = run, run.first_event
        self._next, self._waiting, self._stored = run.first_event, bytearray(), time.monotonic()

    def add(self, events: bytes, next_event: int) -> None:
        self._waiting += events
        self._next = next_event
        if len(self._waiting) >= BLOCK_BYTES or time.monotonic() - self._stored >= BLOCK_SECONDS:
            self.flush()

    def flush(self) -> None:
        if self._waiting and self._run.keeps_events:
            runs().events.put(self._run, self._first, bytes(self._waiting))
        self._waiting.clear()
        self._first, self._stored = self._next, time.monotonic()


def _stored_outcome(response: dict[str, Any], claimed: Claimed) -> Outcome | None:
    """Of an answer that a dead attempt has stored and maybe not settled; its last checkpoint may be older."""
    if claimed.taken is None or response["status"] not in ANSWERED:
        return None
    used, lease = response["usage"], claimed.taken[0]
    return Outcome(
        200,
        used["input_tokens"],
        used["output_tokens"],
        used["input_tokens_details"]["cached_tokens"],
        finish_reason=ANSWERED[response["status"]],
        settled_by="sweeper",
        upstream=lease.upstream or LOCAL,
    )
