"""A turn of a chat: what a new message is asked with, and what is kept of question and answer."""

import json
import logging
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from sluice.domain.chats import chat as rules
from sluice.domain.chats.branches import Branches
from sluice.domain.chats.chat import (
    ANSWER_BYTES,
    BEGINNING,
    CONTENT_CHARACTERS,
    REASONING_CHARACTERS,
    Chat,
    ChatMessage,
    Cited,
    message_id,
)
from sluice.domain.chats.prompt import Prompt
from sluice.domain.errors import Conflict, FieldProblem, LimitReached, NotFound, StoreUnavailable, ValidationFailed
from sluice.domain.gateway.chunks import Transcript
from sluice.domain.runs import Run
from sluice.ports.chats import ChatStore
from sluice.services.chats.chats import Chats, new_chat
from sluice.services.gateway.answer import Answer
from sluice.services.gateway.settle import Outcome
from sluice.services.runs import Runs

log = logging.getLogger("sluice.chats")

ANSWERING = "An answer is being written in this chat, in another window. Wait for it, or stop it."
STORE_TRIES, STORE_PAUSE_SECONDS = 3, 1.0  # for an answer
THOUGHT = re.compile(rb'"reasoning(?:_content)?": ?"[^"]')  # in a chunk, without parsing it


def storable(text: str) -> str:
    """Its beginning, without lone surrogates, which JSON allows and UTF-8 does not."""
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.encode()[:ANSWER_BYTES].decode(errors="ignore")


@dataclass(frozen=True)
class Turn:
    """One message to be answered: the chat, and what was said before. `is_again`: it is in the chat already.
    `is_first`: it makes its chat."""

    chat: Chat
    history: list[ChatMessage]
    question: ChatMessage
    began_ms: int
    is_again: bool = False
    is_first: bool = False


@dataclass(frozen=True)
class ChatTurns:
    """Errors of all: StoreUnavailable, and NotFound where there is no such chat."""

    chats: ChatStore
    runs: Runs
    now_ms: Callable[[], int]

    def first(self, account_id: str, content: str) -> Turn:
        """A message without a chat yet. Its chat is made once it is admitted, so a refused one leaves none."""
        now_ms = self.now_ms()
        chat = replace(new_chat(account_id, now_ms), title=rules.title_from(content))
        question = ChatMessage(message_id(now_ms), "user", content, now_ms, parent_id=BEGINNING)
        return Turn(chat, [], question, now_ms, is_first=True)

    def prepare(self, account_id: str, chat_id: str, content: str, replaced_id: str | None) -> Turn:
        """Nothing is written yet. `replaced_id`: a message of this chat, beside which the new one begins a branch; with
        its own words again, it gets another answer. Errors also: ValidationFailed (no such message), LimitReached,
        Conflict (an answer is running)."""
        chat = Chats(self.chats).get(account_id, chat_id)
        if self.running(chat) is not None:
            raise Conflict(ANSWERING)
        branches = Branches(self.chats.messages(account_id, chat_id), chat.shown)
        replaced = branches.get(replaced_id)
        if replaced_id is not None and (replaced is None or replaced.role != "user"):
            raise ValidationFailed((FieldProblem("replaces", "There is no such message of yours in this chat."),))
        if len(branches.messages) + 2 > rules.MOST_MESSAGES:
            raise LimitReached("This chat has as many messages as it may have. Begin a new one.")
        history, now_ms = branches.before(replaced) if replaced else branches.to_follow(), self.now_ms()
        if replaced and replaced.content == content:
            return Turn(chat, history, replaced, now_ms, is_again=True)
        parent = history[-1].message_id if history else BEGINNING
        question = ChatMessage(message_id(now_ms), "user", content, now_ms, parent_id=parent)
        return Turn(chat, history, question, now_ms)

    def begin(self, turn: Turn, run: Run) -> None:
        """Once the request is admitted: keep and show the question, and name a chat that has no name. From now on the
        run alone answers in the chat. Errors also: Conflict (another one does, or has just done), LimitReached (of a
        chat that it makes)."""
        chat, question = turn.chat, turn.question
        self.runs.rows.put_begun(replace(run, ask=asked(turn, run.ask)), self.now_ms())
        if turn.is_first:
            self.chats.put(replace(chat, shown=question.message_id, running=run.run_id))
            self.chats.add(chat.account_id, chat.chat_id, question)
            return
        changes = {"updated_ms": turn.began_ms, "shown": question.message_id, "running": run.run_id}
        write = partial(self.chats.turn, chat.account_id, chat.chat_id, add=None if turn.is_again else question)
        free, unnamed = {"running": None, "shown": chat.shown}, {"title": rules.UNTITLED}
        if chat.title == rules.UNTITLED:
            if write({**changes, "title": rules.title_from(question.content)}, {**free, **unnamed}):
                return
        elif write(changes, free):
            return
        now = Chats(self.chats).get(chat.account_id, chat.chat_id).running
        if now == run.run_id or (now is None and write(changes, free)):  # it got a name at this moment
            return
        raise Conflict(ANSWERING)

    def undo(self, turn: Turn, run: Run) -> None:
        """Leave the chat as it was, because the model has not begun, unless another process answers by now."""
        chat = turn.chat
        if not self.runs.rows.end(run, "failed", run.epoch):
            return
        if turn.is_first:
            self.chats.delete(chat.account_id, chat.chat_id)
            return
        named = {"title": chat.title} if chat.title == rules.UNTITLED else {}
        before = {"updated_ms": chat.updated_ms, "shown": chat.shown, "running": None, **named}
        drop = None if turn.is_again else turn.question.message_id
        self.chats.turn(chat.account_id, chat.chat_id, before, {"running": run.run_id}, drop=drop)

    def end(self, chat: Chat, run_id: str, answer: ChatMessage | None) -> bool:
        """Keep the answer, whole or partial, and let others answer. False if the run does not answer in it any more."""
        return self.chats.turn(chat.account_id, chat.chat_id, {"running": None}, {"running": run_id}, add=answer)

    def running(self, chat: Chat) -> Run | None:
        """The run that answers in the chat. One that is over, because its process died at its end, is forgotten."""
        if chat.running is None:
            return None
        run = self.runs.rows.get(chat.account_id, chat.running)
        if run is not None and not self.runs.is_over(run):
            return run
        self.end(chat, chat.running, None)
        return None

    def again(self, run: Run) -> Turn:
        """Of a run whose process died. Errors also: Conflict (it does not answer in its chat any more)."""
        chat = Chats(self.chats).get(run.account_id, json.loads(run.ask)["chat_id"])
        branches = Branches(self.chats.messages(chat.account_id, chat.chat_id), chat.shown)
        question = branches.get(json.loads(run.ask)["question_id"])
        if chat.running != run.run_id or question is None:
            raise Conflict()
        return Turn(chat, branches.before(question), question, run.created_ms, is_again=True)

    def answer_of(self, run: Run) -> ChatMessage | None:
        """What its process stored before it died."""
        messages = self.chats.messages(run.account_id, json.loads(run.ask)["chat_id"])
        return next((one for one in messages if one.request_id == run.run_id), None)


def asked(turn: Turn, options: str) -> str:
    """What the run is asked, as JSON. `options`: of the message, as JSON."""
    names = {"chat_id": turn.chat.chat_id, "question_id": turn.question.message_id}
    return json.dumps({**names, "options": json.loads(options)})


class TurnKeeper:
    """Keeps the answer in its chat, a partial one too. The log needs no second copy."""

    def __init__(self, turns: ChatTurns, turn: Turn, run: Run, prompt: Prompt, answer: Answer) -> None:
        self._turns, self._turn, self._run, self._prompt = turns, turn, run, prompt
        self._sources = answer.sources
        self._transcript = Transcript(CONTENT_CHARACTERS, REASONING_CHARACTERS)
        self._thoughts_ms: tuple[int, int] | None = None  # when the first and the last thought came
        self.begun = False  # whether the caller has been told that it is answered

    def add(self, payload: bytes) -> None:
        self._transcript.add(payload)
        if THOUGHT.search(payload):
            now_ms = self._turns.now_ms()
            self._thoughts_ms = (self._thoughts_ms[0] if self._thoughts_ms else now_ms, now_ms)

    def end(self) -> None:
        """`store` has done it."""

    def so_far(self) -> tuple[str, str]:
        """The answer, and what was thought before it."""
        return self._transcript.text(), self._transcript.reasoning()

    def drop(self) -> None:
        """The model did not begin: its first attempt leaves the chat as it was, and a later one leaves the question."""
        if self._run.deaths == 0:
            with suppress(StoreUnavailable, NotFound):
                self._turns.undo(self._turn, self._run)

    def store(self, outcome: Outcome) -> bool:
        """`outcome`: as it will be settled. False if the store does not take it."""
        text = self._transcript.text()
        if not (self.begun or text or outcome.status == 200):
            self.drop()
            return True
        answer = self._answer(text, outcome)
        for attempt in range(STORE_TRIES):
            try:
                if not self._turns.end(self._turn.chat, self._run.run_id, answer):
                    log.warning("the answer's chat is gone, or answered by another", extra=self._named)
                return True
            except StoreUnavailable:
                if attempt + 1 < STORE_TRIES:
                    time.sleep(STORE_PAUSE_SECONDS)
        log.warning("the answer was not stored in its chat", extra=self._named)
        return False

    @property
    def _named(self) -> dict[str, str]:
        return {"request_id": self._run.run_id}

    def _answer(self, text: str, outcome: Outcome) -> ChatMessage:
        now_ms, sources = self._turns.now_ms(), self._sources
        return ChatMessage(
            message_id=message_id(max(now_ms, self._turn.question.created_ms + 1)),
            role="assistant",
            content=storable(text),
            created_ms=now_ms,
            status="complete" if outcome.status == 200 else "broken_off",
            request_id=self._run.run_id,
            prompt_tokens=outcome.prompt_tokens,
            completion_tokens=outcome.completion_tokens,
            response_time_ms=outcome.response_time_ms,
            finish_reason=outcome.finish_reason,
            citations=[Cited(one.file_id, one.filename, one.position) for one in sources.given] if sources else None,
            parent_id=self._turn.question.message_id,
            left_out=self._prompt.left_out or None,
            context_tokens=self._prompt.context_tokens,
            reasoning=storable(self._transcript.reasoning()) or None,
            reasoning_ms=self._thoughts_ms[1] - self._thoughts_ms[0] if self._thoughts_ms else None,
        )
