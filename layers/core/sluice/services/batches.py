"""Batches: made, validated, worked off slice by slice, put together, cancelled (ADR 123).

    validate ─ slices ─ messages ─┬─ slice: rows one by one, each with its result ─ parts of the files ─┐
                                  └─ slice …                                                           ─┴─ files
Each step can be repeated, by anybody, at any time: what was done is found done. A message names a batch or one of its
slices and says only where to look. What a row costs is between `execute` and the grant (`http/gateway/rows.py`).
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, BinaryIO

from sluice.domain import errors
from sluice.domain.batches import (
    LIVE,
    MOST_ERRORS,
    MOST_LINE_BYTES,
    MOST_LIVE,
    MOST_ROWS,
    MOST_SLICE_BYTES,
    PREFIX,
    Batch,
    Progress,
    Row,
    Status,
    Wrong,
    is_answered,
    is_batch_id,
    new_batch_id,
    row_id,
    row_of,
    slice_name,
    slice_rows,
    undone,
)
from sluice.domain.documents import keys
from sluice.domain.documents.document import File
from sluice.domain.documents.uploads import FILE, is_id
from sluice.ports.documents import Blobs, FileStore
from sluice.ports.runs import BatchStore, RunQueue

log = logging.getLogger("sluice.batches")

INPUT_PURPOSE, OUTPUT_PURPOSE = "batch", "batch_output"
FULL = "storage_full"
PIECE_BYTES = 64 * 1024
LOOK_SECONDS = 1.0  # between two looks whether a batch was cancelled
LEAST_SECONDS = 60.0  # of an invocation, to begin another row
TOO_MANY = f"This account has {MOST_LIVE} batches that have not ended. Wait for some of them."
Result = dict[str, Any]
VALIDATING: tuple[Status, ...] = ("validating",)
IN_PROGRESS: tuple[Status, ...] = ("in_progress",)


class Later(Exception):
    """A row cannot be executed now. `goes_on`: others of its slice can, because it is this row alone."""

    def __init__(self, seconds: int, *, goes_on: bool = False) -> None:
        super().__init__()
        self.seconds, self.goes_on = seconds, goes_on


@dataclass(frozen=True)
class Rows:
    """What a worker knows of executing rows. `execute`: a row, given its line. → the result, which is stored by then.
    `settle`: the lease that a dead process may have left of a row (account, request id) that is not executed any more.
    → its result, None if it has none. Both raise Later and StoreUnavailable. `leased`: the request ids of the account's
    leases."""

    execute: Callable[[Batch, Row, bytes, "Kept"], Result]
    settle: Callable[[str, str, "Kept"], Result | None]
    leased: Callable[[str], Collection[str]]
    seconds_left: Callable[[], float]


@dataclass(frozen=True)
class Kept:
    """Where the result of one row is, until its slice is done and its lease is gone."""

    blobs: Blobs
    key: str
    is_done: Callable[[], bool]
    """Whether its slice is: then the row has its one result, also where that is not here any more."""

    def read(self) -> Result | None:
        stored = self.blobs.get(self.key)
        return None if stored is None else json.loads(stored)

    def put(self, result: Result) -> Result:
        self.blobs.put(self.key, _line(result))
        return result


@dataclass(frozen=True)
class Batches:
    """Every method may raise StoreUnavailable."""

    store: BatchStore
    files: FileStore
    blobs: Blobs
    queue: RunQueue
    now_ms: Callable[[], int]
    limit_bytes: Callable[[str], int]
    """How many bytes an account may hold. With more it makes no new batch, and its rows are not executed. Result files
    are never refused, because what is in them is paid for."""

    # --- what its owner does

    def create(
        self, account_id: str, endpoint: str, input_file_id: str, metadata: Mapping[str, str], claims: str
    ) -> Batch:
        """Errors: InvalidModelRequest, LimitReached, StorageFull."""
        file = self.files.get(account_id, input_file_id) if is_id(FILE, input_file_id) else None
        if file is None or file.purpose != INPUT_PURPOSE:
            why = f"There is no file {input_file_id[:64]!r} of the purpose {INPUT_PURPOSE!r}."
            raise errors.InvalidModelRequest(why, "input_file_id")
        if self._room(account_id, copies=True) < 0:
            raise errors.StorageFull()
        now_ms = self.now_ms()
        batch = Batch(account_id, new_batch_id(now_ms), endpoint, input_file_id, claims, now_ms, metadata)
        if not self.store.put(batch):
            raise errors.LimitReached(TOO_MANY)
        try:
            self.queue.put(account_id, batch.batch_id)
        except errors.StoreUnavailable:
            with suppress(errors.StoreUnavailable):
                self.store.change(replace(batch, status="failed"), LIVE, now_ms)
            raise
        return batch

    def _room(self, account_id: str, *, copies: bool = False) -> int:
        """Bytes that the account may still hold, beside its files and the results of its live batches. `copies`: and
        beside the copies of their inputs, which outlive a file that is deleted."""
        copied, results = self.store.live_bytes(account_id)
        held = self.files.held_bytes(account_id) + results + (copied if copies else 0)
        return self.limit_bytes(account_id) - held

    def get(self, account_id: str, batch_id: str) -> Batch:
        """Errors: NotFound."""
        batch = self.store.get(account_id, batch_id) if is_batch_id(batch_id) else None
        if batch is None:
            raise errors.NotFound(f"There is no batch {batch_id[:64]!r}.")
        return self._counted(batch)

    def page(self, account_id: str, *, limit: int, after_id: str | None) -> tuple[list[Batch], bool]:
        """Newest first. → the page, and whether there are more."""
        if after_id is not None and not is_batch_id(after_id):
            return [], False
        found = self.store.page(account_id, limit=limit + 1, after_id=after_id)
        return [self._counted(batch) for batch in found[:limit]], len(found) > limit

    def _counted(self, batch: Batch) -> Batch:
        if not batch.is_live:
            return batch
        now_ms = self.now_ms()
        if batch.is_overdue(now_ms) or (batch.is_stuck(now_ms) and self.store.change(batch, VALIDATING, now_ms)):
            self.queue.put(batch.account_id, batch.batch_id)
        progress = self.store.progress(batch.account_id, batch.batch_id)
        return replace(batch, counts=(max(batch.counts[0], sum(progress.results)), *progress.results))

    def cancel(self, account_id: str, batch_id: str) -> Batch:
        """Rows that run now end as ever. Errors: NotFound, Conflict (it has ended)."""
        batch = self.get(account_id, batch_id)
        cancelling = replace(batch, status="cancelling")
        if self.store.change(cancelling, VALIDATING + IN_PROGRESS, self.now_ms()):
            self.queue.put(account_id, batch_id)
        batch = self.get(account_id, batch_id)
        if batch.status not in ("cancelling", "cancelled"):
            raise errors.Conflict(f"This batch cannot be cancelled, because its status is {batch.status!r}.")
        return batch

    # --- what a worker does

    def work(self, account_id: str, name: str, rows: Rows) -> None:
        """What a message names."""
        batch_id, _, line = name.partition(":")
        batch = self.store.get(account_id, batch_id)
        if batch is not None and not batch.is_live:
            self.store.close(batch)  # who ended it may have died before
        if line:
            self._slice_with(batch, account_id, batch_id, int(line), rows)
        elif batch is None or not batch.is_live:
            return
        elif batch.status == "validating":
            self._validate(batch)
        else:
            self._drive(batch)

    def _drive(self, batch: Batch) -> None:
        """Send what is not done yet, or put the files together."""
        progress = self.store.progress(batch.account_id, batch.batch_id)
        if progress.is_complete:
            self._finish(batch, progress)
        for first in self._firsts(batch.account_id, batch.batch_id):
            if first not in progress.done:
                self.queue.put(batch.account_id, slice_name(batch.batch_id, first))

    def _firsts(self, account_id: str, batch_id: str) -> Iterator[int]:
        """The first lines of its slices, in ascending order."""
        for key in self.blobs.keys(keys.rows_key(account_id, batch_id, "in") + "/"):
            name = key.rpartition("/")[2]
            if name.isdigit():  # and no draft of an interrupted write
                yield int(name)

    def _first_of(self, account_id: str, batch_id: str, line: int) -> int | None:
        """Also where the slices are gone, because the batch has ended."""
        firsts = [*self._firsts(account_id, batch_id)] or self.store.progress(account_id, batch_id).done
        return max((first for first in firsts if first <= line), default=None)

    def _key(self, batch: Batch, part: str, *lines: int) -> str:
        return keys.rows_key(batch.account_id, batch.batch_id, part, *lines)

    # --- validation

    def _validate(self, batch: Batch) -> None:
        cutter = _Cutter()
        faults = self._cut(batch, cutter)
        if not cutter.rows and not faults:
            faults.append(_fault(Wrong("empty_file", "The input file has no lines."), None))
        if faults:
            self._end(replace(batch, status="failed", errors=tuple(faults)), VALIDATING)
            return
        if (last := cutter.cut()) is not None:
            self.blobs.put(self._key(batch, "in", last[0]), last[1])
        self.store.begin(batch, cutter.slices, cutter.size_bytes)
        begun = replace(batch, status="in_progress", counts=(cutter.rows, 0, 0))
        if self.store.change(begun, VALIDATING, self.now_ms()):
            self._drive(begun)
        else:
            self._end(replace(batch, status="cancelled"), ("cancelling",))

    def _cut(self, batch: Batch, cutter: "_Cutter") -> list[dict[str, Any]]:
        """Put the slices but for the last one. → what is wrong with the input."""
        body = self.blobs.open(keys.file_key(batch.account_id, batch.input_file_id))
        if body is None:
            return [_fault(Wrong("file_not_found", "The input file was deleted."), None)]
        faults: list[dict[str, Any]] = []
        with closing(body):
            for number, raw in enumerate(lines_of(body), 1):
                try:
                    full = cutter.add(raw, batch.endpoint)
                except Wrong as wrong:
                    faults.append(_fault(wrong, number))
                    if len(faults) == MOST_ERRORS or wrong.code in STOPPING:
                        break
                    continue
                if full is not None and not faults:
                    self.blobs.put(self._key(batch, "in", full[0]), full[1])
        return faults

    def _end(self, batch: Batch, before: tuple[Status, ...]) -> None:
        """Also if another has ended it, whose deletion some of these parts may have missed."""
        if self.store.change(batch, before, self.now_ms()):
            log.info("a batch has ended", extra={"status": batch.status, "account_id": batch.account_id})
        elif self._is_live(batch):
            return
        for part in ("in", "out", "err"):
            for key in list(self.blobs.keys(self._key(batch, part) + "/")):
                self.blobs.delete(key)

    # --- rows

    def _slice_with(self, batch: Batch | None, account_id: str, batch_id: str, line: int, rows: Rows) -> None:
        """The sweeper names the line whose lease is dead. A row that has its result, or is not executed any more, is
        only settled."""
        first = self._first_of(account_id, batch_id, line)
        kept = self.kept(account_id, batch_id, first or 0, line)
        is_over = first is None or batch is None or not batch.is_live or kept.is_done()
        if is_over or kept.read() is not None:
            with suppress(Later):
                rows.settle(account_id, row_id(batch_id, line), kept)
        if first is not None and batch is not None and batch.is_live:
            self._slice(batch, first, rows)

    def _slice(self, batch: Batch, first: int, rows: Rows) -> None:
        progress, given = self.store.progress(batch.account_id, batch.batch_id), None
        if first not in progress.done:
            given = self.blobs.get(self._key(batch, "in", first))
        if given is not None:
            turn = _Slice(self, batch, first, rows, self._room(batch.account_id))
            results, again = turn.work(given.split(b"\n")[:-1])
            if again is not None:
                self.queue.put(batch.account_id, slice_name(batch.batch_id, first), again)
                return
            if not self._is_live(batch):  # its account may be erased by now
                return
            if not self.is_done(batch.account_id, batch.batch_id, first):
                self._keep(batch, first, results)
            progress = self.store.progress(batch.account_id, batch.batch_id)
            self._clear(batch, first, rows)
        if progress.is_complete:
            self._finish(batch, progress)

    def _keep(self, batch: Batch, first: int, results: list[Result]) -> None:
        """The slice's parts of the two files, then its counts."""
        parts: dict[str, list[Result]] = {"out": [], "err": []}
        for one in results:
            parts["out" if is_answered(one) else "err"].append(one)
        for part, some in parts.items():
            if some:
                self.blobs.put(self._key(batch, part, first), b"".join(map(_line, some)))
        missed = sum(one["response"] is None and one["error"]["code"] != FULL for one in results)
        counts = Progress(
            completed=len(parts["out"]),
            failed=len(parts["err"]) - missed,
            undone=missed,
            result_bytes=sum(len(_line(one)) for one in results),
        )
        self.store.slice_done(batch, first, counts)

    def _clear(self, batch: Batch, first: int, rows: Rows) -> None:
        """Of a slice that is done, delete the rows' results, but those by which a dead lease may have to be settled."""
        leased = rows.leased(batch.account_id)
        for key in list(self.blobs.keys(self._key(batch, "row", first) + "/")):
            name = key.rpartition("/")[2]
            if not (name.isdigit() and row_id(batch.batch_id, int(name)) in leased):
                self.blobs.delete(key)

    def kept(self, account_id: str, batch_id: str, first: int, line: int) -> Kept:
        is_done = partial(self.is_done, account_id, batch_id, first)
        return Kept(self.blobs, keys.rows_key(account_id, batch_id, "row", first, line), is_done)

    def is_done(self, account_id: str, batch_id: str, first: int) -> bool:
        return first in self.store.progress(account_id, batch_id).done

    # --- the files

    def _finish(self, batch: Batch, progress: Progress) -> None:
        """Put the files together, and end the batch. Another may do the same: the files are the same, too."""
        now = self.store.get(batch.account_id, batch.batch_id)
        if now is None or not now.is_live:
            return
        finalizing = replace(now, status="finalizing")
        if now.status == "in_progress":
            if not self.store.change(finalizing, IN_PROGRESS, self.now_ms()):  # cancelled, or another finishes it
                self._finish(batch, progress)
                return
            now = finalizing
        status: Status = "expired" if progress.undone else "completed"
        if now.status == "cancelling":
            status = "cancelled"
        answered, others = progress.results
        # The sum, because a cancellation may have written over the number of rows what it had read before.
        counts = (answered + others, answered, others)
        firsts = sorted(progress.done)
        output, faults = self._file(now, "out", 1, firsts, answered), self._file(now, "err", 2, firsts, others)
        self._end(replace(now, status=status, counts=counts, output_file_id=output, error_file_id=faults), LIVE)

    def _is_live(self, batch: Batch) -> bool:
        now = self.store.get(batch.account_id, batch.batch_id)
        return now is not None and now.is_live

    def _file(self, batch: Batch, part: str, number: int, firsts: list[int], lines: int) -> str | None:
        """The id of a result file; None where nothing would be in it. Another may have ended the batch meanwhile, and
        deleted its parts: then the file is left as that one has made it, or its owner deleted it."""
        if not lines:
            return None
        prefix = batch.batch_id.partition("_")[2].upper()[:PREFIX]
        file_id, digest = f"{FILE}{prefix}{number:06d}", hashlib.sha256()
        name = f"{batch.batch_id}_{'output' if part == 'out' else 'errors'}.jsonl"
        with closing(self.blobs.draft()) as draft:
            for first in firsts:
                if (body := self.blobs.open(self._key(batch, part, first))) is not None:
                    with closing(body):
                        while piece := body.read(PIECE_BYTES):
                            draft.write(piece)
                            digest.update(piece)
            if not self._is_live(batch):
                return file_id
            told = (name, OUTPUT_PURPOSE, draft.tell(), digest.hexdigest(), self.now_ms(), "processed")
            self.files.put(File(batch.account_id, file_id, *told), None)  # first: `ingestion` deletes what has no row
            self.blobs.put_file(keys.file_key(batch.account_id, file_id), draft)
        return file_id


class _Slice:
    """One worker's turn at a slice."""

    def __init__(self, batches: Batches, batch: Batch, first: int, rows: Rows, room_bytes: int) -> None:
        self._batches, self._batch, self._first, self._rows = batches, batch, first, rows
        self._room_bytes = room_bytes
        self._looked = time.monotonic()

    def work(self, given: list[bytes]) -> tuple[list[Result], int | None]:
        """→ the results; and where some are missing, after how many seconds the slice is to come again."""
        results: list[Result] = []
        again: int | None = None
        for line, raw in enumerate(given, self._first):
            if self._rows.seconds_left() < LEAST_SECONDS:
                return results, again or 0
            try:
                results.append(self._row(row_of(raw, line, self._batch.endpoint), raw))
                self._room_bytes -= len(_line(results[-1]))
            except Later as later:
                again = max(again or 0, later.seconds)
                if not later.goes_on:
                    break
        return results, again

    def _row(self, row: Row, raw: bytes) -> Result:
        self._look()
        batch, request_id = self._batch, row_id(self._batch.batch_id, row.line)
        kept = self._batches.kept(batch.account_id, batch.batch_id, self._first, row.line)
        if (result := kept.read()) is not None:
            return result
        if (why := self._why_not()) is not None:
            return self._rows.settle(batch.account_id, request_id, kept) or undone(request_id, row, why)
        return self._rows.execute(batch, row, raw, kept)

    def _why_not(self) -> str | None:
        if self._batch.status == "cancelling":
            return "batch_cancelled"
        if self._batches.now_ms() >= self._batch.expires_ms:
            return "batch_expired"
        return FULL if self._room_bytes <= 0 else None

    def _look(self) -> None:
        """Whether the batch is still to be worked off. One that is gone is treated as cancelled. Errors: Later, where
        another process has done this slice."""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            now = self._batches.store.get(self._batch.account_id, self._batch.batch_id)
            self._batch = now or replace(self._batch, status="cancelling")
            if self._batches.is_done(self._batch.account_id, self._batch.batch_id, self._first):
                raise Later(0)


STOPPING = ("too_many_tasks", "line_too_long")


class _Cutter:
    """Cuts valid lines into slices."""

    def __init__(self) -> None:
        self.rows = self.slices = self.size_bytes = 0
        self._first, self._held = 0, bytearray()
        self._seen: set[bytes] = set()

    def add(self, raw: bytes | None, endpoint: str) -> tuple[int, bytes] | None:
        """→ the slice that is full by this line. Errors: Wrong."""
        if raw is None:
            raise Wrong("line_too_long", f"A line may have {MOST_LINE_BYTES:,} bytes at most.")
        if not raw.strip():
            return None
        if self.rows == MOST_ROWS:
            raise Wrong("too_many_tasks", f"A batch may have {MOST_ROWS:,} rows at most.")
        row = row_of(raw, self.rows, endpoint)
        mark = hashlib.blake2b(row.custom_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if mark in self._seen:
            raise Wrong("duplicate_custom_id", "Another line has the same custom_id.", "custom_id")
        self._seen.add(mark)
        full = self.cut() if self._held and len(self._held) + len(raw) > MOST_SLICE_BYTES else None
        self._held += (kept := raw.strip() + b"\n")
        self.size_bytes += len(kept)
        self.rows += 1
        if full is None and self.rows - self._first >= slice_rows(self.slices):
            full = self.cut()
        return full

    def cut(self) -> tuple[int, bytes] | None:
        """What is left, as a slice."""
        if not self._held:
            return None
        cut = self._first, bytes(self._held)
        self._first, self.slices = self.rows, self.slices + 1
        self._held.clear()
        return cut


def lines_of(body: BinaryIO) -> Iterator[bytes | None]:
    """The lines of a file; None for one that is too long, and then no more."""
    rest = b""
    while piece := body.read(PIECE_BYTES):
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
        if len(rest) > MOST_LINE_BYTES:
            yield None
            return
    if rest:
        yield rest


def _fault(wrong: Wrong, line: int | None) -> dict[str, Any]:
    return {"code": wrong.code, "line": line, "message": wrong.message, "param": wrong.param}


def _line(result: Result) -> bytes:
    """In UTF-8. Half a surrogate pair, which only a caller's custom_id may hold, is written as JSON escapes it."""
    try:
        return json.dumps(result, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(result, separators=(",", ":")).encode() + b"\n"
