"""Token bytes to text that may be sent. Characters and stop strings may be split between tokens."""

import codecs
from collections.abc import Sequence


class TextAssembler:
    """Collects token bytes and returns text as soon as it cannot be the beginning of a stop string.

    Once `stopped`, `push` returns nothing: the stop string and the text after it are dropped, as in OpenAI's API.
    """

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self._stops = [stop for stop in stops if stop]
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._sent_chars = 0
        self.stopped_by: str | None = None
        """The stop string that ended the text."""

    @property
    def stopped(self) -> bool:
        return self.stopped_by is not None

    @property
    def seen_chars(self) -> int:
        """Characters decoded so far, sent or held back."""
        return self._sent_chars + len(self._held)

    @property
    def sent_chars(self) -> int:
        """Characters returned so far."""
        return self._sent_chars

    def push(self, piece: bytes) -> str:
        """Add one token's bytes; returns the text that may be sent."""
        self._held += self._decoder.decode(piece)
        return self._release()

    def finish(self) -> str:
        """The rest of the text, at the end. Incomplete UTF-8 becomes U+FFFD."""
        if self.stopped:
            return ""
        self._held += self._decoder.decode(b"", final=True)
        text = self._release()
        return text if self.stopped else text + self._give(len(self._held))

    def _release(self) -> str:
        found = [(at, stop) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            at, self.stopped_by = min(found)
            text = self._give(at)
            self._held = ""
            return text
        return self._give(len(self._held) - self._possible_stop_chars())

    def _possible_stop_chars(self) -> int:
        """Length of the longest tail that begins a stop string."""
        longest = 0
        for stop in self._stops:
            for length in range(min(len(stop) - 1, len(self._held)), longest, -1):
                if self._held.endswith(stop[:length]):
                    longest = length
                    break
        return longest

    def _give(self, chars: int) -> str:
        text, self._held = self._held[:chars], self._held[chars:]
        self._sent_chars += len(text)
        return text
