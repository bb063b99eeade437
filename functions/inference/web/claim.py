"""A request's way to its answer: it waits for its model, and begins when the model is there."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from functions.inference.errors import DeadlineExceeded, InferenceError, Overloaded
from functions.inference.models.loading import Loaded
from functions.inference.models.swapping import Use
from functions.inference.web import answer, sse
from functions.inference.web.answer import PING_EVERY_S
from functions.inference.web.choices import POLL_EVERY_S, CallerGone, Choices
from functions.inference.web.disconnect import Caller
from functions.inference.web.http_errors import stream_envelope

LONGEST_SILENCE_S = 20.0
"""Of a call that says nothing before its answer. The gateway gives up after 30 s."""
RETRY_S = 5


class Claim:
    """One request, its model and its choices. `begin` makes the choices of a loaded model. Call `end`, whatever
    happened."""

    def __init__(self, use: Use, begin: Callable[[Loaded], Choices], caller: Caller, deadline_s: float) -> None:
        self._use, self._begin, self._deadline_s = use, begin, deadline_s
        self._choices: Choices | None = None
        self.caller = caller

    def choices(self, within_s: float) -> Choices | None:
        """None if the model is not there after so long. Raises as `Use.wait` and as `begin`."""
        if self._choices is None and (model := self._use.wait(within_s)) is not None:
            self._choices = self._begin(model)
        return self._choices

    def awaited(self) -> Iterator[Choices | None]:
        """None after each POLL_EVERY_S without the model, then the choices. Raises CallerGone and DeadlineExceeded,
        too."""
        while (choices := self.choices(POLL_EVERY_S)) is None:
            if self.caller.gone():
                raise CallerGone
            if time.monotonic() > self._deadline_s:
                raise DeadlineExceeded("The request's deadline passed before the model was loaded.")
            yield None
        yield choices

    def end(self) -> None:
        """Cancel what still runs, and let the model go."""
        if self._choices is not None:
            self._choices.cancel()
        self._use.leave()


def stream(claim: Claim, include_usage: bool, ping_every_s: float = PING_EVERY_S) -> Iterator[bytes]:
    """`answer.stream`, after pings as long as the model is not there."""
    yield b""  # makes gunicorn send the status line, because the request is accepted
    pinged_s = time.monotonic()
    try:
        for choices in claim.awaited():
            if choices is not None:
                yield from answer.stream(choices, claim.caller, include_usage)
            elif time.monotonic() - pinged_s >= ping_every_s:
                pinged_s = time.monotonic()
                yield sse.PING
    except CallerGone:
        return
    except InferenceError as error:
        yield sse.event(stream_envelope(error))


@contextmanager
def model_in_silence(use: Use, deadline_s: float) -> Iterator[Loaded]:
    """The model for a call that says nothing before its answer. Raises Overloaded if it is not there in time."""
    try:
        model = use.wait(max(0.0, min(LONGEST_SILENCE_S, deadline_s - time.monotonic())))
        if model is None:
            raise Overloaded("The model is not loaded yet, because another is in use.", RETRY_S)
        yield model
    finally:
        use.leave()
