"""The engine's backend over llama-cpp-python's low-level calls. Its `Llama` class is not used."""

import ctypes
from collections.abc import Sequence
from typing import Any

import llama_cpp
import numpy as np

from functions.inference.engine.backend import Row
from functions.inference.engine.batch import SCORED_ROWS
from functions.inference.engine.jobs import Sampling, TokenLogprob
from functions.inference.errors import ModelFileError
from functions.inference.llama.grammar import GrammarCompiler
from functions.inference.llama.runtime import complaints
from functions.inference.llama.sampler import LlamaSampler
from functions.inference.llama.vocab import LlamaVocab

SCRATCH_BATCH_SEQS = 1


class LlamaBackend(LlamaVocab):
    """A context over a loaded model, with memory for `context_tokens` in each sequence."""

    def __init__(
        self,
        model: Any,
        *,
        sequences: int,
        context_tokens: int,
        batch_tokens: int,
        threads: int,
        batch_threads: int | None = None,
        kv_type: str = "f16",
    ) -> None:
        """`threads`: of a call with one token. `batch_threads`: of any other, by default as many."""
        super().__init__(model)
        self.grammars = GrammarCompiler(self)
        trained = llama_cpp.llama_model_n_ctx_train(model)
        self.context_tokens = min(context_tokens, trained) if trained > 0 else context_tokens
        self.sequences = sequences
        recurrent = llama_cpp.llama_model_is_recurrent(model) or llama_cpp.llama_model_is_hybrid(model)
        self.can_forget_ends = not recurrent
        self.can_share_prefixes = not recurrent and llama_cpp.llama_model_n_swa(model) == 0
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = self.context_tokens * sequences
        params.n_batch = params.n_ubatch = batch_tokens
        params.n_seq_max = sequences
        # Logits for one row a sequence and for prompts that are scored; the default reserves batch x vocabulary.
        params.n_outputs_max = min(sequences + SCORED_ROWS, batch_tokens)
        params.n_threads, params.n_threads_batch = threads, batch_threads or threads
        # With another type than f16 llama.cpp switches flash attention on, which it needs.
        params.type_k = params.type_v = getattr(llama_cpp, f"GGML_TYPE_{kv_type.upper()}")
        params.kv_unified = True  # required: otherwise sharing a prefix between sequences aborts the process
        complaints.clear()
        self._ctx = llama_cpp.llama_init_from_model(model, params)
        if not self._ctx and (why := next((line for line in complaints if "V cache" in line or "K cache" in line), "")):
            raise ModelFileError(f"SLUICE_INFERENCE_KV_TYPE={kv_type} is not possible for this model: {why}.")
        if not self._ctx:
            raise ModelFileError("The context does not fit the memory: lower SLUICE_INFERENCE_SLOTS.")
        self._memory = llama_cpp.llama_get_memory(self._ctx)
        self._batch = llama_cpp.llama_batch_init(batch_tokens, 0, SCRATCH_BATCH_SEQS)

    def decode(self, rows: Sequence[Row]) -> int:
        """See Backend."""
        batch = self._batch
        for index, row in enumerate(rows):
            batch.token[index] = row.token
            batch.pos[index] = row.position
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = row.seq
            batch.logits[index] = row.wants_logits
        batch.n_tokens = len(rows)
        return int(llama_cpp.llama_decode(self._ctx, batch))

    def forget(self, seq: int, from_position: int) -> bool:
        """See Backend."""
        return bool(llama_cpp.llama_memory_seq_rm(self._memory, seq, from_position, -1))

    def share(self, source: int, target: int, tokens: int) -> None:
        """See Backend."""
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, 0, tokens)

    def sampler(self, sampling: Sampling) -> LlamaSampler:
        """See Backend."""
        return LlamaSampler(self._ctx, self, sampling)

    def logprob(self, row: int, token: int, top: int) -> TokenLogprob:
        """See Backend. Computed from the raw logits, before temperature, penalties and grammar."""
        logits = llama_cpp.llama_get_logits_ith(self._ctx, row)
        values = np.ctypeslib.as_array(logits, shape=(self.vocab_tokens,)).astype(np.float64)
        values -= values.max()
        values -= np.log(np.exp(values).sum())
        best: list[int] = []
        if top:
            likeliest = np.argpartition(-values, min(top, len(values) - 1))[:top]
            best = [int(index) for index in sorted(likeliest, key=lambda index: -values[index])]
        ranked = tuple((index, self.piece(index, special=True), float(values[index])) for index in best)
        return TokenLogprob(token, self.piece(token), float(values[token]), ranked)

    def close(self) -> None:
        """Free the context. The backend must not be used afterwards."""
        llama_cpp.llama_batch_free(self._batch)
        llama_cpp.llama_free(ctypes.c_void_p(self._ctx) if isinstance(self._ctx, int) else self._ctx)
