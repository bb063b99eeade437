"""The form in which a request fits the account's limits and the model's context: by bytes, by a count, or shortened.

    bytes + max_tokens fit ─ admit (no call)
    even few tokens do not ─ admit by bytes, which the store refuses (no call)
    else                   ─ count, unless the bytes are the smaller part ─ lower max_tokens to what the limits leave

A count costs the model server work before anything is charged. So it is asked only if the grant, as this process saw
it last, would admit the request if it were small: its API token is live, the account is not blocked and has a request
left. While it runs it takes one of the account's concurrent places. A request that is refused after it is charged like
one that is wrong in form.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from sluice.domain import errors
from sluice.domain.gateway import images
from sluice.domain.gateway.admission import AdmissionRequest, Grant
from sluice.domain.gateway.decision import decide
from sluice.services.gateway.request import CHAT_PATH, COMPLETIONS_PATH, ModelRequest

MOST_BYTES_A_TOKEN = 16  # of any text on average: what does not fit even so is not counted
USUAL_BYTES_A_TOKEN = 4
ANSWER_SHARE = 8  # of the tokens a minute, below which no answer is shortened for what is left of them just now
TEXT_TOKENS = 8  # what counting several texts as one may miss at each place where two meet


@dataclass
class Counts:
    """The counts that this process waits for, by account. Thread-safe."""

    _running: Counter[str] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)

    @contextmanager
    def place(self, grant: Grant, *, row: bool = False) -> Iterator[None]:
        """Errors: TooManyConcurrentRequests."""
        account = grant.account_id
        with self._lock:
            if self._running[account] + grant.running(rows=row) >= grant.limits.concurrency:
                raise errors.TooManyConcurrentRequests()
            self._running[account] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[account] -= 1
                if not self._running[account]:
                    del self._running[account]


@dataclass
class Fit:
    """One request's way into the limits. `form`: (prompt tokens, completion tokens of a choice) → what to reserve.

    `prompt_tokens`: by bytes until `counted`. `request`: by bytes, and with the longest answer.
    `most`: completion tokens of a choice that the caller may get, by default `default`.
    `count`: the exact prompt tokens, None if nothing counts such a prompt. Its errors: ModelUnavailable,
    InvalidModelRequest, InvalidApiToken. `completion_tokens`: those of the form that was last returned.
    """

    form: Callable[[int, int], AdmissionRequest]
    prompt_tokens: int
    most: int
    default: int
    room: int | None
    """Tokens of the context that prompt and answer share, if the model server refuses what exceeds them."""
    count: Callable[[], int | None]
    counts: Counts
    counted: bool = False
    completion_tokens: int = 0
    request: AdmissionRequest = field(init=False)

    def __post_init__(self) -> None:
        self.request = self.form(self.prompt_tokens, self.most)

    def __call__(self, grant: Grant, now_ns: int) -> tuple[AdmissionRequest, errors.SluiceError | None]:
        """→ the request in a form that the grant admits; or one that it does not, and the refusal. The reservation is
        an upper bound in either case. Errors: of `count`, and TooManyConcurrentRequests."""
        if not self.counted:
            self.completion_tokens = self.most
            if decide(grant, self.request, now_ns) is None:
                return self.request, None
            if (why := self._cannot_fit(grant, now_ns)) is not None:
                return self.request, why

        def refusal(completion: int) -> errors.SluiceError | None:
            return decide(grant, self.form(self.prompt_tokens, completion), now_ns)

        half = max(1, min(self.prompt_tokens, self.most))
        if not self.counted and refusal(half) is not None:  # else the answer has most of the room, even by bytes
            with self.counts.place(grant, row=self.request.is_row):
                self._count()
        self.completion_tokens = _largest(self._least(grant, refusal), self.most, lambda most: refusal(most) is None)
        return self.form(self.prompt_tokens, self.completion_tokens), refusal(self.completion_tokens)

    @property
    def fewest(self) -> AdmissionRequest:
        """With the fewest tokens that it may turn out to take."""
        answer = min(self.most, self.default)
        is_short = self.prompt_tokens <= answer
        return self.form(self.prompt_tokens // (1 if is_short else MOST_BYTES_A_TOKEN), answer)

    def into_reserved(self, tokens: int) -> None:
        """The longest answer for which so many reserved tokens are enough. Errors: of `count`."""

        def fits(most: int) -> bool:
            return self.form(self.prompt_tokens, most).reserve_tokens <= tokens

        if not self.counted and not fits(self.most):
            self._count()
        self.completion_tokens = _largest(min(1, self.most), self.most, fits)

    def into_context(self) -> None:
        """Shorten the answer of an admitted request to what its prompt leaves of the context. Errors: of `count`."""
        if self.room is None or self.prompt_tokens + self.completion_tokens <= self.room:
            return
        if not self.counted:
            self._count()
        if self.prompt_tokens < self.room:  # else the model server says that the prompt is too long
            self.completion_tokens = min(self.completion_tokens, self.room - self.prompt_tokens)

    def _cannot_fit(self, grant: Grant, now_ns: int) -> errors.SluiceError | None:
        """Why not even the fewest tokens fit; the wait is for as many as such a text usually has."""
        fewest, usual = (
            decide(grant, self.form(self.prompt_tokens // bytes_each, min(answer, self.most)), now_ns)
            for bytes_each, answer in ((MOST_BYTES_A_TOKEN, 1), (USUAL_BYTES_A_TOKEN, self.default))
        )
        return usual if isinstance(fewest, errors.Throttled) and isinstance(usual, errors.Throttled) else fewest

    def _least(self, grant: Grant, refusal: Callable[[int], errors.SluiceError | None]) -> int:
        """The shortest answer that is worth admitting now, instead of a wait."""
        wanted = min(self.most, max(self.default, grant.limits.tpm // ANSWER_SHARE))
        return _largest(
            min(1, self.most), wanted, lambda most: not isinstance(refusal(most), errors.InvalidModelRequest)
        )

    def _count(self) -> None:
        exact = self.count()
        self.prompt_tokens = min(self.prompt_tokens, exact if exact and exact > 0 else self.prompt_tokens)
        self.counted = True


def _largest(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The largest number from `low` to `high` for which it holds, where it holds up to some number; at least `low`."""
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def countable(request: ModelRequest) -> tuple[dict[str, Any], int] | None:
    """What `Upstream.count` takes, and the tokens that it misses; None for what it cannot count."""
    if request.path == CHAT_PATH:
        messages, seen = images.without(request.body["messages"])
        return {**request.body, "messages": [_texts(message) for message in messages]}, images.IMAGE_TOKENS * seen
    if request.path != COMPLETIONS_PATH:
        return None
    prompt, suffix = request.body["prompt"], request.body.get("suffix")
    prompts: list[Any] = [prompt] if isinstance(prompt, str) or isinstance(prompt[0], int) else prompt
    texts = [text for one in prompts if isinstance(one, str) for text in (one, suffix) if text]
    tokens = sum(len(one) for one in prompts if not isinstance(one, str))
    return {"model": request.body["model"], "prompt": "\n".join(texts)}, tokens + TEXT_TOKENS * len(texts)


def _texts(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message whose images are left out, as a model server wants it."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": [part for part in content if part["type"] != "image_url"]}
