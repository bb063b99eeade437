"""Chooses the tokens of one decode call."""

from collections.abc import Sequence

from functions.inference.engine.backend import Row
from functions.inference.engine.slots import Slot

SCORED_ROWS = 16
"""Rows of prompts a call whose logits are read. Each costs a product with the whole vocabulary, so few of them hold up
the others' tokens."""
Ready = list[tuple[Slot, int]]


def plan(slots: Sequence[Slot], batch_tokens: int, prompt_budget_tokens: int) -> tuple[list[Row], Ready]:
    """Returns the rows of the next batch, and the row index of each slot whose next token can be sampled after it.

    Generating slots come first, one token each, so that a long prompt does not stall a running stream, and what was
    guessed after it. Prompts share the rest evenly, shortest first, so that none starves; those of rows of batches get
    what the others leave. Sets `taken_tokens` of every slot.
    """
    rows: list[Row] = []
    ready: Ready = []
    busy = [slot for slot in slots if slot.job is not None and slot.following is None]
    for slot in slots:
        slot.taken_tokens = 0
    generating = [slot for slot in busy if slot.generating]
    prompts = sorted((slot for slot in busy if not slot.generating), key=lambda slot: (slot.low, len(slot.pending)))
    for slot in generating:
        _take(slot, 1, rows, ready)
        rows += (Row(token, len(slot.cache) + 1 + n, slot.seq, True) for n, token in enumerate(slot.guessed))
    budget = min(prompt_budget_tokens, batch_tokens - len(rows))
    scored = max(1, SCORED_ROWS // max(1, sum(slot.scoring for slot in prompts)))
    for index, slot in enumerate(prompts):
        sharing = sum(other.low == slot.low for other in prompts[index:])
        share = -(-budget // sharing)  # rounded up, so that the last one gets at least one token
        _take(slot, min(share, budget, scored) if slot.scoring else min(share, budget), rows, ready)
        budget -= slot.taken_tokens
    return rows, ready


def _take(slot: Slot, most_tokens: int, rows: list[Row], ready: Ready) -> None:
    chunk = slot.pending[:most_tokens]
    slot.taken_tokens, slot.first_row = len(chunk), len(rows)
    last = len(chunk) == len(slot.pending)
    scoring = slot.scoring
    for offset, token in enumerate(chunk):
        wanted = scoring or (last and offset == len(chunk) - 1)
        rows.append(Row(token, len(slot.cache) + offset, slot.seq, wanted))
    if chunk and last:
        ready.append((slot, len(rows) - 1))
