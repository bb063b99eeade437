"""An answer in a chat whose process died, executed anew by a worker."""

import json
from collections.abc import Callable
from dataclasses import replace

from sluice.domain import errors
from sluice.domain.gateway.leases import Lease
from sluice.domain.runs import Run
from sluice.domain.settings.terms import LOCAL
from sluice.http.chats.answer import requested
from sluice.http.chats.requests import MessageBody
from sluice.http.chats.running import ChatBody
from sluice.http.errors import ledger_status
from sluice.services.chats.turns import Turn, TurnKeeper
from sluice.services.gateway.exchange import COME_AGAIN, ClientGone
from sluice.services.gateway.request import RequestContext, RunContext, Superseded, playground_claims
from sluice.services.gateway.settle import Outcome
from sluice.services.runs import Claimed, Watch
from sluice.wiring.chats import chat_turns
from sluice.wiring.gateway import answers
from sluice.wiring.runs import runs


def answer_again(claimed: Claimed, seconds_left: Callable[[], float]) -> None:
    """Errors: StoreUnavailable: the message is to come again."""
    run = replace(claimed.run, deaths=claimed.run.deaths + (claimed.taken is not None))
    try:
        turn = chat_turns().again(run)
    except (errors.NotFound, errors.Conflict):
        _end_what_died(claimed)
        return
    try:
        body = _begun(claimed, run, turn, seconds_left)
    except Superseded:
        runs().end_settled(run)
        return
    except errors.Conflict:
        return
    except ClientGone:
        chat_turns().end(turn.chat, run.run_id, None)
        return
    except errors.SluiceError as refusal:
        may_wait = isinstance(refusal, (errors.Throttled, *COME_AGAIN))
        if not may_wait or not runs().come_again(run, refusal):
            runs().close(claimed)
            chat_turns().end(turn.chat, run.run_id, None)
        return
    body.close()  # to its end


def _begun(claimed: Claimed, run: Run, turn: Turn, seconds_left: Callable[[], float]) -> ChatBody:
    options = json.loads(run.ask)["options"]
    asked = MessageBody.model_validate({**options, "content": turn.question.content})
    claims = playground_claims(run.account_id, run.created_ms // 1000)
    request, prompt = requested(claims, turn, asked)
    watch = Watch(runs().rows, run)
    of_run = RunContext(claimed.epoch, claimed.taken, lambda: runs().begin(claimed))
    context = RequestContext(run.run_id, ledger_status, watch.is_cancelled, seconds_left, run=of_run)
    answer = answers().start(request, context)
    body = ChatBody(answer, TurnKeeper(chat_turns(), turn, run, prompt, answer), watch)
    for _ in body.beginning():
        pass
    return body


def _end_what_died(claimed: Claimed) -> None:
    """The chat was deleted, or the process died after it had stored the answer and before it settled it."""
    answer = chat_turns().answer_of(claimed.run)
    if answer is None or claimed.taken is None:
        runs().close(claimed)
        return
    status = 200 if answer.status == "complete" else 499
    counts = (status, answer.prompt_tokens or 0, answer.completion_tokens or 0)
    runs().close(claimed, _outcome(counts, answer.finish_reason, answer.response_time_ms, claimed.taken[0]))


def _outcome(counts: tuple[int, int, int], reason: str | None, taken_ms: int | None, lease: Lease) -> Outcome:
    return Outcome(*counts, finish_reason=reason, response_time_ms=taken_ms, upstream=lease.upstream or LOCAL)
