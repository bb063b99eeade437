"""A turn of a chat: what a new message is asked with, and what is kept of question and answer."""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

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
from sluice.domain.errors import FieldProblem, LimitReached, NotFound, StoreUnavailable, ValidationFailed
from sluice.domain.gateway.chunks import Transcript
from sluice.ports.chats import ChatStore
from sluice.services.chats.chats import Chats, new_chat, no_chat
from sluice.services.gateway.answer import Answer

log = logging.getLogger("sluice.chats")

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
    now_ms: Callable[[], int]

    def first(self, account_id: str, content: str) -> Turn:
        """A message without a chat yet. Its chat is made once it is admitted, so a refused one leaves none."""
        now_ms = self.now_ms()
        chat = replace(new_chat(account_id, now_ms), title=rules.title_from(content))
        question = ChatMessage(message_id(now_ms), "user", content, now_ms, parent_id=BEGINNING)
        return Turn(chat, [], question, now_ms, is_first=True)

    def prepare(self, account_id: str, chat_id: str, content: str, replaced_id: str | None) -> Turn:
        """Nothing is written yet. `replaced_id`: a message of this chat, beside which the new one begins a branch; with
        its own words again, it gets another answer. Errors also: ValidationFailed (no such message), LimitReached."""
        chat = Chats(self.chats).get(account_id, chat_id)
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

    def begin(self, turn: Turn) -> None:
        """Once the request is admitted: keep and show the question, and name a chat that has no name. Errors also:
        LimitReached (of a chat that it makes)."""
        chat, question = turn.chat, turn.question
        shown = {"updated_ms": turn.began_ms, "shown": question.message_id}
        if turn.is_first:
            self.chats.put(replace(chat, shown=question.message_id))
        elif not self._name(turn, shown) and not self.chats.change(chat.account_id, chat.chat_id, shown):
            raise no_chat()
        if not turn.is_again:
            self.chats.add(chat.account_id, chat.chat_id, question)

    def _name(self, turn: Turn, shown: Mapping[str, Any]) -> bool:
        """False for a chat that has a name, maybe since this moment."""
        chat, named = turn.chat, rules.title_from(turn.question.content)
        if chat.title != rules.UNTITLED:
            return False
        changes = {**shown, "title": named}
        return self.chats.change(chat.account_id, chat.chat_id, changes, was={"title": rules.UNTITLED}) is not None

    def end(self, turn: Turn, answer: ChatMessage) -> None:
        """Keep the answer, whole or partial."""
        self.chats.add(turn.chat.account_id, turn.chat.chat_id, answer)


class TurnKeeper:
    """Keeps question and answer in their chat, a partial answer too. The log needs no second copy."""

    def __init__(self, turns: ChatTurns, turn: Turn, prompt: Prompt, answer: Answer) -> None:
        self._turns, self._turn, self._prompt = turns, turn, prompt
        self._exchange, self._sources = answer.exchange, answer.sources
        self._transcript = Transcript(CONTENT_CHARACTERS, REASONING_CHARACTERS)
        self._thoughts_ms: tuple[int, int] | None = None  # when the first and the last thought came
        self.begun = False

    def add(self, payload: bytes) -> None:
        self._transcript.add(payload)
        if THOUGHT.search(payload):
            now_ms = self._turns.now_ms()
            self._thoughts_ms = (self._thoughts_ms[0] if self._thoughts_ms else now_ms, now_ms)

    def begin(self) -> None:
        """Errors: NotFound (the chat was deleted meanwhile), StoreUnavailable."""
        self._turns.begin(self._turn)
        self.begun = True

    def end(self) -> None:
        record, text = self._exchange.record, self._transcript.text()
        whole = record is not None and record.status == 200
        if not (self.begun or text or whole):
            return  # the model never began
        try:
            if not self.begun:
                self.begin()
            self._turns.end(self._turn, self._answer(text, whole))
        except (StoreUnavailable, NotFound):
            log.warning(
                "the answer was not stored in its chat", extra={"request_id": self._exchange.request.request_id}
            )

    def _answer(self, text: str, whole: bool) -> ChatMessage:
        now_ms, record, sources = self._turns.now_ms(), self._exchange.record, self._sources
        return ChatMessage(
            message_id=message_id(max(now_ms, self._turn.question.created_ms + 1)),
            role="assistant",
            content=storable(text),
            created_ms=now_ms,
            status="complete" if whole else "broken_off",
            request_id=self._exchange.request.request_id,
            prompt_tokens=record.prompt_tokens if record else None,
            completion_tokens=record.completion_tokens if record else None,
            response_time_ms=record.response_time_ms if record else None,
            finish_reason=record.finish_reason if record else None,
            citations=[Cited(one.file_id, one.filename, one.position) for one in sources.given] if sources else None,
            parent_id=self._turn.question.message_id,
            left_out=self._prompt.left_out or None,
            context_tokens=self._prompt.context_tokens,
            reasoning=storable(self._transcript.reasoning()) or None,
            reasoning_ms=self._thoughts_ms[1] - self._thoughts_ms[0] if self._thoughts_ms else None,
        )
