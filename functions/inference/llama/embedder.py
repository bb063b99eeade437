"""Embeddings: a pooling context of its own, used by one thread."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from typing import Any

import llama_cpp
import numpy as np

from functions.inference.engine.queueing import FairQueue
from functions.inference.errors import ContextTooLong, DeadlineExceeded, GenerationFailed, ModelFileError, Overloaded
from functions.inference.llama.vocab import LlamaVocab

SEQUENCES = 64
"""Inputs per call. A call of few short inputs is not faster than one of many."""
BUSY_RETRY_S = 2

Vector = Any
"""A one-dimensional float32 array of length 1."""
Keep = Callable[[Sequence[int], Vector], None]


@dataclass(eq=False)
class _Work:
    account: str
    inputs: Sequence[Sequence[int]]
    keep: Keep
    low: bool = False
    given_up: threading.Event = field(default_factory=threading.Event)
    vectors: "Future[list[Vector]]" = field(default_factory=Future)


class Embedder(LlamaVocab):
    """Vectors are normalised. The model file names the pooling; the mean is the default."""

    def __init__(self, model: Any, *, context_tokens: int, threads: int, queue_places: int) -> None:
        super().__init__(model)
        trained = llama_cpp.llama_model_n_ctx_train(model)
        self.context_tokens = min(context_tokens, trained) if trained > 0 else context_tokens
        self.dimensions: int = llama_cpp.llama_model_n_embd(model)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = (
            self.context_tokens
        )  # pooling needs the whole sequence in one batch
        params.n_seq_max = SEQUENCES
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = True
        params.embeddings = True
        self._ctx = _pooling_context(model, params)
        self._memory = llama_cpp.llama_get_memory(self._ctx)
        self._batch = llama_cpp.llama_batch_init(self.context_tokens, 0, 1)
        self._lock, self._queue = threading.Lock(), FairQueue[_Work](queue_places)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="llama-embed")

    def embed(
        self,
        inputs: Sequence[Sequence[int]],
        timeout_s: float,
        account: str = "",
        keep: Keep = lambda tokens, vector: None,
        *,
        low: bool = False,
    ) -> list[Vector]:
        """One vector per input, within `timeout_s` seconds. Accounts take turns. `keep` gets each as soon as it is
        there, so that a request that was too long for its time needs less when it is repeated. `low`: it is a row of a
        batch, which waits for all others.

        Raises ContextTooLong, Overloaded, DeadlineExceeded or GenerationFailed.
        """
        for tokens in inputs:
            if len(tokens) > self.context_tokens:
                raise ContextTooLong(len(tokens), self.context_tokens, "input")
        work = _Work(account, inputs, keep, low)
        with self._lock:
            if not self._queue.offer(work):
                raise Overloaded("All places in the embeddings queue are taken.", BUSY_RETRY_S)
        self._thread.submit(self._serve)
        try:
            return work.vectors.result(timeout_s)
        except FutureTimeout as exc:
            work.given_up.set()
            with self._lock:
                if work.vectors.cancel():
                    self._queue.remove(work)
            raise DeadlineExceeded("The request's deadline passed before the embeddings were complete.") from exc

    def close(self) -> None:
        """Wait for the current call and accept no more."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            for work in self._queue.items():
                work.vectors.cancel()

    def free(self) -> None:
        """Free the context, after `close`. The embedder must not be used afterwards."""
        llama_cpp.llama_batch_free(self._batch)
        llama_cpp.llama_free(self._ctx)

    def _serve(self, *, low: bool = True) -> None:
        """Do the next request's work, which may be another one than this call was submitted for. `low`: or a row's."""
        with self._lock:
            work = self._queue.peek(Counter(), low=low)
            if work is None:
                return  # its caller gave up
            self._queue.remove(work)
            self._queue.served(work)
            work.vectors.set_running_or_notify_cancel()
        try:
            work.vectors.set_result(self._embed(work))
        except Exception as exc:
            work.vectors.set_exception(exc)

    def _embed(self, work: _Work) -> list[Vector]:
        vectors: list[Vector] = []
        for group in self._groups(work.inputs):
            if work.given_up.is_set():
                raise DeadlineExceeded("The caller closed the connection.")
            if work.low:
                self._serve(low=False)
            for tokens, vector in zip(group, self._embed_group(group), strict=True):
                work.keep(tokens, vector)
                vectors.append(vector)
        return vectors

    def _groups(self, inputs: Sequence[Sequence[int]]) -> list[list[Sequence[int]]]:
        groups: list[list[Sequence[int]]] = []
        room = 0
        for tokens in inputs:
            if len(tokens) > room or len(groups[-1]) == SEQUENCES:
                groups.append([])
                room = self.context_tokens
            groups[-1].append(tokens)
            room -= len(tokens)
        return groups

    def _embed_group(self, group: Sequence[Sequence[int]]) -> list[Vector]:
        batch, row = self._batch, 0
        for seq, tokens in enumerate(group):
            for position, token in enumerate(tokens):
                batch.token[row], batch.pos[row], batch.n_seq_id[row] = token, position, 1
                batch.seq_id[row][0], batch.logits[row] = seq, True
                row += 1
        batch.n_tokens = row
        llama_cpp.llama_memory_clear(self._memory, True)
        outcome = llama_cpp.llama_decode(self._ctx, batch)
        if outcome != 0:
            raise GenerationFailed(f"The embeddings model failed (llama.cpp returned {outcome}).")
        return [self._vector(seq) for seq in range(len(group))]

    def _vector(self, seq: int) -> Vector:
        pointer = llama_cpp.llama_get_embeddings_seq(self._ctx, seq)
        if not pointer:
            raise GenerationFailed("The embeddings model gave no vector.")
        return normalised(np.ctypeslib.as_array(pointer, shape=(self.dimensions,)).copy())


def _pooling_context(model: Any, params: Any) -> Any:
    """Use the pooling that the model file names, else the mean (chat models name none)."""
    for pooling in (llama_cpp.LLAMA_POOLING_TYPE_UNSPECIFIED, llama_cpp.LLAMA_POOLING_TYPE_MEAN):
        params.pooling_type = pooling
        ctx = llama_cpp.llama_init_from_model(model, params)
        if not ctx:
            raise ModelFileError("The context of the embeddings model does not fit the memory.")
        if llama_cpp.llama_pooling_type(ctx) != llama_cpp.LLAMA_POOLING_TYPE_NONE:
            return ctx
        llama_cpp.llama_free(ctx)
    raise ModelFileError("The embeddings model cannot pool.")


def normalised(vector: Vector) -> Vector:
    """The vector scaled to length 1; a zero vector stays zero."""
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length > 0 else vector
