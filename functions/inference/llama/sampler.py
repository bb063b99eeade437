"""One job's sampler chain and its grammar, which is not part of the chain.

llama.cpp aborts the process when a grammar accepts a token that it does not allow, and `llama_sampler_sample` does that
when no token is allowed. So this code checks that the grammar allows a token before it calls accept.
"""

import ctypes
import math
import secrets
from typing import Any

import llama_cpp
import numpy as np

from functions.inference.engine.jobs import Sampling
from functions.inference.llama.vocab import LlamaVocab

PENALTY_WINDOW_TOKENS = 256
CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class LlamaSampler:
    """See Sampler. Raises InvalidRequest when llama.cpp does not accept the grammar."""

    def __init__(self, ctx: Any, vocab: LlamaVocab, sampling: Sampling) -> None:
        self._ctx = ctx
        self._vocab_tokens = vocab.vocab_tokens
        self._grammar = vocab.compile_grammar(sampling.grammar) if sampling.grammar else None
        self._chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        links = _links(vocab, sampling)
        # llama.cpp copies the whole vocabulary for every token; finding the likeliest token needs no copy.
        self._plain_greedy = sampling.temperature <= 0 and len(links) == 1 and self._grammar is None
        for link in links:
            llama_cpp.llama_sampler_chain_add(self._chain, link)

    def sample(self, row: int) -> int | None:
        """See Sampler."""
        if self._plain_greedy:
            logits = llama_cpp.llama_get_logits_ith(self._ctx, row)
            return int(np.ctypeslib.as_array(logits, shape=(self._vocab_tokens,)).argmax())
        if self._grammar is None:
            return int(llama_cpp.llama_sampler_sample(self._chain, self._ctx, row))
        logits = llama_cpp.llama_get_logits_ith(self._ctx, row)
        candidates: Any = np.zeros(self._vocab_tokens, CANDIDATE)
        candidates["id"] = np.arange(self._vocab_tokens)
        candidates["logit"] = np.ctypeslib.as_array(logits, shape=(self._vocab_tokens,))
        token = self._choose(candidates.copy())
        if not self._allows(token):  # rare; then the grammar checks every token
            _apply(self._grammar, candidates)
            allowed = candidates[np.isfinite(candidates["logit"])]
            if not len(allowed):
                return None
            token = self._choose(allowed)
        llama_cpp.llama_sampler_accept(self._grammar, token)
        llama_cpp.llama_sampler_accept(self._chain, token)
        return token

    def close(self) -> None:
        """See Sampler."""
        llama_cpp.llama_sampler_free(self._chain)
        if self._grammar is not None:
            llama_cpp.llama_sampler_free(self._grammar)

    def _choose(self, candidates: Any) -> int:
        array = _apply(self._chain, candidates)
        return int(array.data[array.selected].id)

    def _allows(self, token: int) -> bool:
        one = np.array([(token, 1.0, 0.0)], CANDIDATE)
        _apply(self._grammar, one)
        return math.isfinite(one["logit"][0])


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
