"""OpenAI's response bodies."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

from functions.inference.engine.jobs import TokenLogprob


@dataclass(frozen=True)
class ResponseHead:
    """The fields that all bodies of one response share."""

    id: str
    created_s: int
    model: str


class ResponseShape(ABC):
    """Writes one endpoint's response bodies for the choice `index`. `text` may be empty."""

    chunk_kind: str

    def __init__(self, head: ResponseHead, with_logprobs: bool, index: int = 0) -> None:
        self._head = head
        self._with_logprobs = with_logprobs
        self._index = index

    @abstractmethod
    def opening(self) -> dict[str, Any] | None:
        """The chunk before the first text, if the endpoint has one."""

    @abstractmethod
    def chunks(self, text: str, logprobs: tuple[TokenLogprob, ...]) -> list[dict[str, Any]]: ...

    @abstractmethod
    def closings(self, finish_reason: str) -> list[dict[str, Any]]: ...

    @abstractmethod
    def whole(self, text: str, logprobs: tuple[TokenLogprob, ...], finish_reason: str) -> dict[str, Any]:
        """The body without `usage`."""

    def usage_chunk(self, counts: "Counts") -> dict[str, Any]:
        return self._body(self.chunk_kind, []) | {"usage": usage_of(counts)}

    def _body(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        head = self._head
        return {"id": head.id, "object": kind, "created": head.created_s, "model": head.model, "choices": choices}


class Counts(NamedTuple):
    """Exact model tokens of an answer, all its choices together; each prompt counts once."""

    prompt: int
    completion: int
    cached: int


def usage_of(counts: Counts) -> dict[str, Any]:
    """OpenAI's `usage`."""
    return {
        "prompt_tokens": counts.prompt,
        "completion_tokens": counts.completion,
        "total_tokens": counts.prompt + counts.completion,
        "prompt_tokens_details": {"cached_tokens": counts.cached},
    }


class ChatShape(ResponseShape):
    """`chat.completion` and `chat.completion.chunk`."""

    chunk_kind = "chat.completion.chunk"

    def opening(self) -> dict[str, Any] | None:
        return self._chunk({"role": "assistant", "content": ""})

    def chunks(self, text: str, logprobs: tuple[TokenLogprob, ...]) -> list[dict[str, Any]]:
        return [self._chunk({"content": text}, logprobs=logprobs)]

    def closings(self, finish_reason: str) -> list[dict[str, Any]]:
        return [self._chunk({}, finish_reason)]

    def whole(self, text: str, logprobs: tuple[TokenLogprob, ...], finish_reason: str) -> dict[str, Any]:
        choice = {
            "index": self._index,
            "message": {"role": "assistant", "content": text, "refusal": None},
            "logprobs": self._logprobs(logprobs),
            "finish_reason": finish_reason,
        }
        return self._body("chat.completion", [choice])

    def _chunk(
        self, delta: dict[str, Any], finish_reason: str | None = None, logprobs: tuple[TokenLogprob, ...] = ()
    ) -> dict[str, Any]:
        choice = {
            "index": self._index,
            "delta": delta,
            "logprobs": self._logprobs(logprobs) if logprobs else None,
            "finish_reason": finish_reason,
        }
        return self._body(self.chunk_kind, [choice])

    def _logprobs(self, logprobs: tuple[TokenLogprob, ...]) -> dict[str, Any] | None:
        return (
            {"content": [_chat_logprob(entry) for entry in logprobs], "refusal": None} if self._with_logprobs else None
        )


def _chat_logprob(entry: TokenLogprob) -> dict[str, Any]:
    top = [_token_logprob(piece, logprob) for _token, piece, logprob in entry.top]
    return _token_logprob(entry.piece, entry.logprob) | {"top_logprobs": top}


def _token_logprob(piece: bytes, logprob: float | None) -> dict[str, Any]:
    return {"token": piece.decode(errors="replace"), "logprob": logprob, "bytes": list(piece)}


class CompletionShape(ResponseShape):
    """`text_completion`. `echo`: the prompt's text, if the caller asked for it."""

    chunk_kind = "text_completion"

    def __init__(self, head: ResponseHead, with_logprobs: bool, index: int = 0, echo: str = "") -> None:
        super().__init__(head, with_logprobs, index)
        self._echo = echo
        self._sent_chars = len(echo)

    def opening(self) -> dict[str, Any] | None:
        return self._body(self.chunk_kind, [self._choice(self._echo)]) if self._echo else None

    def chunks(self, text: str, logprobs: tuple[TokenLogprob, ...]) -> list[dict[str, Any]]:
        choice = self._choice(text, logprobs)
        self._sent_chars += len(text)
        return [self._body(self.chunk_kind, [choice])]

    def closings(self, finish_reason: str) -> list[dict[str, Any]]:
        return [self._body(self.chunk_kind, [self._choice("", (), finish_reason)])]

    def whole(self, text: str, logprobs: tuple[TokenLogprob, ...], finish_reason: str) -> dict[str, Any]:
        choice = self._choice(self._echo + text, logprobs, finish_reason)
        choice["logprobs"] = self._logprobs(logprobs) if self._with_logprobs else None
        return self._body(self.chunk_kind, [choice])

    def _choice(
        self, text: str, logprobs: tuple[TokenLogprob, ...] = (), finish_reason: str | None = None
    ) -> dict[str, Any]:
        shown = self._logprobs(logprobs) if logprobs else None
        return {"index": self._index, "text": text, "logprobs": shown, "finish_reason": finish_reason}

    def _logprobs(self, logprobs: tuple[TokenLogprob, ...]) -> dict[str, Any]:
        texts = [entry.piece.decode(errors="replace") for entry in logprobs]
        *offsets, _end = accumulate(map(len, texts), initial=self._sent_chars)
        return {
            "tokens": texts,
            "token_logprobs": [entry.logprob for entry in logprobs],
            # Of tokens with one text the likelier counts, so the best ones come last.
            "top_logprobs": [
                None if entry.logprob is None else {p.decode(errors="replace"): lp for _t, p, lp in entry.top[::-1]}
                for entry in logprobs
            ],
            "text_offset": offsets,
        }
