"""A turn of a chat: what a new message is asked with, and what is kept of question and answer."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from sluice.domain.chats import chat as rules
from sluice.domain.chats.chat import CONTENT_CHARACTERS, REASONING_CHARACTERS, Chat, ChatMessage, Cited, message_id
from sluice.domain.errors import FieldProblem, LimitReached, NotFound, StoreUnavailable, ValidationFailed
from sluice.domain.gateway.chunks import Transcript
from sluice.ports.chats import ChatStore
from sluice.services.chats.chats import Chats
from sluice.services.gateway.answer import Answer

log = logging.getLogger("sluice.chats")

THOUGHT = re.compile(rb'"reasoning(?:_content)?": ?"[^"]')  # in a chunk, without parsing it


@dataclass(frozen=True)
class Turn:
    """One message to be answered: the chat, and what was said before."""

    chat: Chat
    history: list[ChatMessage]
    replaced: list[ChatMessage]
    question: ChatMessage


@dataclass(frozen=True)
class ChatTurns:
    """Errors of all: StoreUnavailable, and NotFound where there is no such chat."""

    chats: ChatStore
    now_ms: Callable[[], int]

    def prepare(self, account_id: str, chat_id: str, content: str, replaced_id: str | None) -> Turn:
        """Nothing is written yet. `replaced_id`: a message of this chat that is rewritten; it and all messages after
        it are dropped once the turn begins. Errors also: ValidationFailed (no such message), LimitReached."""
        chat = Chats(self.chats).get(account_id, chat_id)
        history = self.chats.messages(account_id, chat_id)
        replaced: list[ChatMessage] = []
        if replaced_id is not None:
            split = rules.before(history, replaced_id)
            if split is None:
                raise ValidationFailed((FieldProblem("replaces", "There is no such message in this chat."),))
            history, replaced = split
        if len(history) + 2 > rules.MOST_MESSAGES:
            raise LimitReached("This chat has as many messages as it may have. Begin a new one.")
        now_ms = self.now_ms()
        return Turn(chat, history, replaced, ChatMessage(message_id(now_ms), "user", content, now_ms))

    def begin(self, turn: Turn) -> None:
        """Once the request is admitted: keep the question, drop what it replaces, name a chat that has no name."""
        chat = turn.chat
        named = rules.title_from(turn.question.content) if chat.title == rules.UNTITLED else chat.title
        self.chats.update(replace(chat, title=named, updated_ms=turn.question.created_ms))
        self.chats.add(chat.account_id, chat.chat_id, turn.question)
        self.chats.remove(chat.account_id, chat.chat_id, turn.replaced)

    def end(self, turn: Turn, answer: ChatMessage) -> None:
        """Keep the answer, whole or partial."""
        self.chats.add(turn.chat.account_id, turn.chat.chat_id, answer)


class TurnKeeper:
    """Keeps question and answer in their chat, a partial answer too. The log needs no second copy."""

    def __init__(self, turns: ChatTurns, turn: Turn, answer: Answer) -> None:
        self._turns, self._turn = turns, turn
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
            content=text,
            created_ms=now_ms,
            status="complete" if whole else "broken_off",
            request_id=self._exchange.request.request_id,
            prompt_tokens=record.prompt_tokens if record else None,
            completion_tokens=record.completion_tokens if record else None,
            response_time_ms=record.response_time_ms if record else None,
            finish_reason=record.finish_reason if record else None,
            citations=[Cited(one.file_id, one.filename, one.position) for one in sources.given] if sources else None,
            reasoning=self._transcript.reasoning() or None,
            reasoning_ms=self._thoughts_ms[1] - self._thoughts_ms[0] if self._thoughts_ms else None,
        )
