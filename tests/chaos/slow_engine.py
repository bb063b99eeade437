"""A slow model server: it sends a token at intervals, counted as by the real one, until its caller disconnects."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.contract.upstream import MODELS
from tests.fakes.upstream import chunk, usage_chunk
from tests.servers import Handler, Server

PROMPT_TOKENS = 12


@dataclass
class Generation:
    """One request as the engine saw it."""

    made: int = 0
    ended: str = ""  # "done", or "gone" if the caller disconnected


@dataclass
class SlowEngine:
    """Sends `tokens` tokens of `token_bytes`, one every `every_seconds`. `holds`: whether it waits before this token of
    this generation, both counted from 0; it is asked again until it says no."""

    every_seconds: float = 0.02
    token_bytes: int = 4
    tokens: int = 400
    holds: Callable[[int, int], bool] = field(default=lambda generation, token: False)
    generations: list[Generation] = field(default_factory=list)

    def __post_init__(self) -> None:
        engine = self

        class Requests(Handler):
            def do_GET(self) -> None:
                self.answer(200, {"object": "list", "data": MODELS})

            def do_POST(self) -> None:
                self.body()
                self.begin_events()
                generation = Generation()
                engine.generations.append(generation)
                with suppress(OSError):
                    engine._generate(self.wfile.write, generation)
                generation.ended = generation.ended or "gone"

        server = Server(Requests)
        self.url, self.stop = server.url, server.stop

    def _pause(self) -> None:
        """Before each token."""
        if self.every_seconds:
            time.sleep(self.every_seconds)

    def _generate(self, write: Any, generation: Generation) -> None:
        place = next(place for place, one in enumerate(self.generations) if one is generation)
        for number in range(self.tokens):
            self._pause()
            while self.holds(place, number):
                time.sleep(0.01)
            write(b": usage %d %d 0\ndata: %s\n\n" % (PROMPT_TOKENS, number + 1, chunk("x" * self.token_bytes)))
            generation.made = number + 1
        end = (chunk(None, "stop"), usage_chunk(PROMPT_TOKENS, self.tokens), b"[DONE]")
        write(b"".join(b"data: " + payload + b"\n\n" for payload in end))
        generation.ended = "done"
