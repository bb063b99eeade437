"""What the model is sent of a chat: the system prompt, the newest turns that fit its context, the question.

    system │ turn 1 │ turn 2 │ turn 3 │ turn 4 │ question
           └─ left out ──────┘

Only the oldest turns are left out, and as many at once that half of the room is free. So the prompt's beginning stays
the same for some turns, and the model server need not read all of it again each time.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sluice.domain.chats.chat import Chat, ChatMessage
from sluice.domain.gateway.estimates import BYTES_A_TOKEN, prompt_tokens

ANSWER_SHARE = 8  # of the context, the most that is left free for the answer
BESIDE_TURNS = 48  # tokens that a chat template may add
MOST_ATTEMPTS = 3  # with fewer turns, when the model refuses the prompt as too long
NEAR = 0.75  # of the context: from here on the page warns, because a few more turns fill it


class Prompt:
    """`context_tokens`: the model's context, None if its server states none: then nothing is left out before the model
    refuses. `beside_tokens`: what is added to the prompt, such as passages. `answer_tokens`: the longest answer."""

    def __init__(
        self,
        chat: Chat,
        history: Sequence[ChatMessage],
        question: str,
        context_tokens: int | None,
        answer_tokens: int,
        beside_tokens: int = 0,
    ) -> None:
        self._system = [{"role": "system", "content": chat.system}] if chat.system else []
        self._history, self._question = history, {"role": "user", "content": question}
        self.context_tokens, self._shortened = context_tokens, 0
        self._last = next((one for one in reversed(history) if one.prompt_tokens), None)
        last = self._last
        self.left_out = last.left_out or 0 if last and last.context_tokens == context_tokens else 0
        if context_tokens is not None:
            share = context_tokens // ANSWER_SHARE
            room = context_tokens - min(answer_tokens, share) - min(beside_tokens, 2 * share) - BESIDE_TURNS
            if self._first_within(room) > self.left_out or self._by_count() > room:
                self.left_out = self._first_within(room // 2)

    @property
    def messages(self) -> list[dict[str, str]]:
        """Without empty answers."""
        kept = [{"role": one.role, "content": one.content} for one in self._history[self.left_out :] if one.content]
        return [*self._system, *kept, self._question]

    def shorter(self) -> list[dict[str, str]] | None:
        """Half of the turns of a prompt that the model refused as too long, and the third time none; None if it has
        only the question."""
        if self.left_out >= len(self._history):
            return None
        self._shortened += 1
        half = (len(self._history) - self.left_out + 1) // 2
        self._cut(self.left_out + half if self._shortened < MOST_ATTEMPTS else len(self._history))
        return self.messages

    def _first_within(self, most_tokens: int) -> int:
        """The place from which on the turns fit, by the length of their text. It reads only what fits, from the end."""
        left_bytes = (most_tokens - prompt_tokens({"messages": [*self._system, self._question]})) * BYTES_A_TOKEN
        found = len(self._history)
        for place in range(found - 1, self.left_out - 1, -1):
            one = self._history[place]
            if one.content:
                left_bytes -= (
                    len(json.dumps({"role": one.role, "content": one.content}, ensure_ascii=False).encode()) + 2
                )
            if left_bytes < 0:
                return found
            if one.role == "user":  # what is sent begins with a question
                found = place
        return self.left_out

    def _cut(self, place: int) -> None:
        while place < len(self._history) and self._history[place].role != "user":
            place += 1
        self.left_out = place

    def _by_count(self) -> int:
        """By the model's own count for the last answer; 0 where that says nothing of this prompt."""
        last = self._last
        if last is None or last.citations or last.prompt_tokens is None or (last.left_out or 0) != self.left_out:
            return 0
        since: list[dict[str, Any]] = [{"role": "assistant", "content": last.content}, self._question]
        return last.prompt_tokens + prompt_tokens({"messages": since})


@dataclass(frozen=True)
class Length:
    """Of a chat, as its last answer shows it. `left_out`: how many messages were not sent. `is_near`: to its end."""

    left_out: int = 0
    is_near: bool = False


def length_of(path: Sequence[ChatMessage]) -> Length:
    answer = next((one for one in reversed(path) if one.role == "assistant"), None)
    if answer is None:
        return Length()
    read = (answer.prompt_tokens or 0) + (answer.completion_tokens or 0)
    return Length(answer.left_out or 0, answer.context_tokens is not None and read >= NEAR * answer.context_tokens)
