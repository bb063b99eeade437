"""One job's sampler chain, and its grammar, which is not part of the chain."""

import ctypes
import math
import secrets
import time
from typing import Any

import llama_cpp
import numpy as np

from functions.inference.engine.jobs import Matcher, Sampling
from functions.inference.llama.vocab import LlamaVocab

PENALTY_WINDOW_TOKENS = 256
ID, LOGIT, COLUMNS = 0, 1, 3
"""Of llama_token_data: 4 bytes each. As int32, because numpy fills a column of it four times as fast as a
field of records."""


class LlamaSampler:
    """See Sampler."""

    def __init__(self, ctx: Any, vocab: LlamaVocab, sampling: Sampling) -> None:
        self._ctx = ctx
        self._vocab_tokens = vocab.vocab_tokens
        self._matcher = sampling.matcher
        self._candidates: Any = np.zeros((self._vocab_tokens if self._matcher else 0, COLUMNS), np.int32)
        self._candidates[:, ID] = np.arange(len(self._candidates))
        self._refusing = False
        self.grammar_s = 0.0
        self._chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        links = _links(vocab, sampling)
        # llama.cpp copies the whole vocabulary for every token; finding the likeliest token needs no copy.
        self._plain_greedy = sampling.temperature <= 0 and len(links) == 1
        for link in links:
            llama_cpp.llama_sampler_chain_add(self._chain, link)

    def sample(self, row: int) -> int | None:
        """See Sampler."""
        if self._matcher is None and not self._plain_greedy:
            return int(llama_cpp.llama_sampler_sample(self._chain, self._ctx, row))
        values = llama_cpp.llama_get_logits_ith(self._ctx, row)
        logits = np.ctypeslib.as_array(values, shape=(self._vocab_tokens,))
        if self._matcher is None:
            return self._choose(logits, None)
        token = self._matched(logits, self._matcher)
        if token is not None:
            began_s = time.thread_time()
            self._matcher.accept(token)
            self.grammar_s += time.thread_time() - began_s
            llama_cpp.llama_sampler_accept(self._chain, token)
        return token

    def _matched(self, logits: Any, matcher: Matcher) -> int | None:
        """The choice of one token that the grammar allows; None when it allows none.

        To sample again among the allowed ones after a refusal gives the same probabilities as to sample among them at
        once. So the grammar is asked about the model's own choice first, which costs far less than all tokens; but not
        while it refuses what the model wants most.
        """
        began_s = time.thread_time()
        if not self._refusing:
            token = self._choose(logits, None)
            began_s = time.thread_time()
            if matcher.allows(token):
                self.grammar_s = time.thread_time() - began_s
                return token
        allowed = matcher.allowed()
        self._refusing = not matcher.allows(int(logits.argmax()))
        self.grammar_s = time.thread_time() - began_s
        return self._choose(logits, allowed) if len(allowed) else None

    def close(self) -> None:
        """See Sampler."""
        llama_cpp.llama_sampler_free(self._chain)

    def _choose(self, logits: Any, allowed: Any) -> int:
        """The chain's choice of the tokens `allowed`, of all for None."""
        if self._plain_greedy:
            return int(logits.argmax()) if allowed is None else int(allowed[logits[allowed].argmax()])
        if allowed is None:
            candidates = self._candidates.copy()
        else:
            candidates = np.zeros((len(allowed), COLUMNS), np.int32)
            candidates[:, ID] = allowed
        candidates[:, LOGIT] = (logits if allowed is None else logits[allowed]).view(np.int32)
        array = _apply(self._chain, candidates)
        return int(array.data[array.selected].id)


def _apply(sampler: Any, candidates: Any) -> Any:
    array = llama_cpp.llama_token_data_array()
    array.data = candidates.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_token_data))
    array.size = len(candidates)
    array.selected = -1
    array.sorted = False
    llama_cpp.llama_sampler_apply(sampler, ctypes.byref(array))
    return array


def _links(vocab: LlamaVocab, sampling: Sampling) -> list[Any]:
    """The chain in llama.cpp's own order: bias, penalties, then cuts, then temperature."""
    links: list[Any] = []
    bias = dict(sampling.logit_bias)
    if sampling.ignore_eos:
        bias |= dict.fromkeys(vocab.end_tokens, -math.inf)
    if bias:
        pairs = [llama_cpp.llama_logit_bias(token, value) for token, value in bias.items()]
        array = (llama_cpp.llama_logit_bias * len(pairs))(*pairs)
        links.append(llama_cpp.llama_sampler_init_logit_bias(vocab.vocab_tokens, len(pairs), array))
    if sampling.presence_penalty or sampling.frequency_penalty or sampling.repeat_penalty != 1.0:
        penalties = (sampling.repeat_penalty, sampling.frequency_penalty, sampling.presence_penalty)
        links.append(llama_cpp.llama_sampler_init_penalties(vocab.vocab_tokens, PENALTY_WINDOW_TOKENS, *penalties))
    if sampling.temperature <= 0:
        return [*links, llama_cpp.llama_sampler_init_greedy()]
    if sampling.top_k > 0:
        links.append(llama_cpp.llama_sampler_init_top_k(sampling.top_k))
    if sampling.top_p < 1.0:
        links.append(llama_cpp.llama_sampler_init_top_p(sampling.top_p, 1))
    if sampling.min_p > 0.0:
        links.append(llama_cpp.llama_sampler_init_min_p(sampling.min_p, 1))
    seed = secrets.randbits(32) if sampling.seed is None else sampling.seed % 2**32
    links.append(llama_cpp.llama_sampler_init_temp(sampling.temperature))
    return [*links, llama_cpp.llama_sampler_init_dist(seed)]
