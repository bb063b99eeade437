"""One job in its slot: sample tokens, assemble text, hold back a possible stop string, send events."""

import codecs

from functions.inference.engine.backend import Backend, Sampler
from functions.inference.engine.grammar_watch import GrammarWatch
from functions.inference.engine.jobs import Delta, FinishReason, Job, TokenLogprob
from functions.inference.engine.text import TextAssembler
from functions.inference.errors import GenerationFailed, TooCostly


class Generation:
    """Used by the decode thread only."""

    def __init__(self, job: Job, backend: Backend, sampler: Sampler, watch: GrammarWatch) -> None:
        self._job = job
        self._backend = backend
        self._sampler = sampler
        self._watch = watch
        self._excess_s = 0.0
        self._text = TextAssembler(job.stops)
        self._held: list[tuple[int, TokenLogprob]] = []
        """Log probabilities of tokens whose text was not sent yet, each with the offset of its first character."""
        self._scored = 0
        self._echo = codecs.getincrementaldecoder("utf-8")("replace")

    def score(self, row: int, position: int, tokens: int) -> None:
        """Send the prompt tokens that batch rows predict. `row` holds the prompt's token at `position`, the rows after
        it the next ones, `tokens` in all. The prompt's first token is sent before all others; none is sent twice."""
        job, found = self._job, []
        if not self._scored:
            found.append(TokenLogprob(job.prompt[0], self._backend.piece(job.prompt[0]), None))
        first, end = max(position + 1, self._scored), min(position + tokens + 1, len(job.prompt))
        for place in range(first, end):
            found.append(self._backend.logprob(row + place - position - 1, job.prompt[place], job.logprobs or 0))
        self._scored = max(self._scored, end)
        if found:
            text = self._echo.decode(b"".join(each.piece for each in found), final=end == len(job.prompt))
            job.events.put(Delta(text, 0, tuple(found)))

    def advance(self, row: int) -> tuple[int, FinishReason | None]:
        """Sample the token after batch row `row` and send its text. Returns the token and the finish reason, if any.

        The token that ends a turn is neither counted nor sent, as in OpenAI's API. Raises GenerationFailed, and
        TooCostly when the grammar takes too long.
        """
        job = self._job
        token = self._sampler.sample(row)
        if job.sampling.matcher is not None:
            self._excess_s = self._watch.excess(self._excess_s, self._sampler.grammar_s)
            if self._excess_s > self._watch.grace_s:
                raise TooCostly(job.sampling.matcher.param)
        if token is None:
            raise GenerationFailed("The model has no token that the requested format allows here.")
        if self._backend.is_end(token) and not job.sampling.ignore_eos:
            return token, "stop"
        job.completion_tokens += 1
        if job.logprobs is not None:
            self._held.append((self._text.seen_chars, self._backend.logprob(row, token, job.logprobs)))
        text = self._text.push(job.shown.get(token) or self._backend.piece(token))
        self._send(text)
        if self._text.stopped or (job.complete is not None and job.complete(text)):
            return token, "stop"
        return token, "length" if job.completion_tokens >= job.max_tokens else None

    def flush(self) -> None:
        """Send the text that was held back, because the answer is complete."""
        if text := self._text.finish():
            self._send(text)
        self._job.stopped_by = self._text.stopped_by

    def close(self) -> None:
        """Free the C memory."""
        self._sampler.close()

    def _send(self, text: str) -> None:
        out = self._text.sent_chars
        ready = tuple(logprob for start, logprob in self._held if start < out)
        self._held = [] if self._text.stopped else [(start, logprob) for start, logprob in self._held if start >= out]
        if text or ready:
            self._job.events.put(Delta(text, self._job.completion_tokens, ready))
