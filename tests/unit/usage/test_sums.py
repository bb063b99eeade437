"""Usage while metering runs: each request is counted exactly once, even if metering changes data between reads."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from sluice.domain.ids import request_id_at
from sluice.domain.spans import DAY_MS, Span
from sluice.domain.usage.ledger import LedgerRecord
from sluice.domain.usage.usage import NOTHING, Amounts, Bucket, amounts_of, bucket_of, total
from sluice.services.usage.sums import SNAPSHOT_RECORDS, UsageSums

DAY_START_MS = 1_795_219_200_000
NOW_MS = DAY_START_MS + 5_000_000
TODAY = Span(DAY_START_MS, DAY_START_MS + DAY_MS)


class Books:
    """Ledger and roll-ups in memory; `between_reads` is called before each read and may act like metering."""

    def __init__(self, count: int) -> None:
        made = (
            LedgerRecord("usr_a", request_id_at(DAY_START_MS + place), "tok_a", "demo", "completions", False, 200,
                         place, 1, 0, 1, DAY_START_MS + place, 1, None, None, 202611)
            for place in range(count)
        )  # fmt: skip
        self.records = {record.request_id: record for record in made}
        self.rolled: dict[Bucket, Amounts] = {}
        self.reads = 0
        self.between_reads: Callable[[], object] = lambda: None

    def fold_next(self, count: int = 1) -> None:
        for record in [record for record in self.records.values() if record.rolled_up_ms is None][:count]:
            bucket = bucket_of(record)
            self.rolled[bucket] = self.rolled.get(bucket, NOTHING) + amounts_of(record)
            self.records[record.request_id] = replace(record, rolled_up_ms=NOW_MS)

    def _read(self) -> None:
        self.reads += 1
        self.between_reads()

    def get(self, account_id: str, request_id: str) -> LedgerRecord | None:
        raise NotImplementedError

    def page(self, account_id: str, **query: object) -> tuple[list[LedgerRecord], str | None]:
        raise NotImplementedError

    def everything(self, account_id: str) -> Iterator[LedgerRecord]:
        raise NotImplementedError

    def unmarked(self, account_id: str, now_ms: int) -> list[LedgerRecord]:
        self._read()
        return [record for record in self.records.values() if record.rolled_up_ms is None]


class Ledger(Books):
    def between(self, account_id: str, span: Span) -> Iterator[LedgerRecord]:
        self._read()
        yield from (record for record in self.records.values() if record.created_ms in span)


class Rollups:
    def __init__(self, books: Books) -> None:
        self.books = books

    def fold(self, records: Sequence[LedgerRecord], now_ms: int) -> bool:
        raise NotImplementedError

    def between(self, account_id: str, first_day: str, last_day: str) -> dict[Bucket, Amounts]:
        self.books._read()
        return {bucket: sums for bucket, sums in self.books.rolled.items() if first_day <= bucket.day <= last_day}

    def snapshot(self, account_id: str, bucket: Bucket, request_ids: Sequence[str]) -> tuple[Amounts, set[str]]:
        self.books._read()
        assert len(request_ids) <= SNAPSHOT_RECORDS, "more than a transaction reads"
        marked = {each for each in request_ids if self.books.records[each].rolled_up_ms is not None}
        return self.books.rolled.get(bucket, NOTHING), marked


def used(books: Ledger, span: Span = TODAY) -> Amounts:
    return total(UsageSums(books, Rollups(books)).by_bucket("usr_a", span, NOW_MS))


def whole(books: Books) -> Amounts:
    return sum(map(amounts_of, books.records.values()), NOTHING)


@pytest.mark.parametrize("rolled", [0, 1, 7, 50])
def test_the_sum_is_the_same_however_much_is_rolled_up(rolled: int) -> None:
    books = Ledger(50)
    books.fold_next(rolled)
    assert used(books) == whole(books)


@pytest.mark.parametrize("step", [1, 3, 60])
def test_metering_between_any_two_reads_changes_nothing(step: int) -> None:
    for first_read in range(1, 6):
        books = Ledger(60)

        def meter(books: Books = books, first: int = first_read) -> None:
            if books.reads >= first:
                books.fold_next(step)

        books.between_reads = meter
        assert used(books) == whole(books)


def test_a_span_larger_than_one_transaction_is_exact_while_metering_runs() -> None:
    books = Ledger(SNAPSHOT_RECORDS + 40)
    books.between_reads = lambda: books.fold_next(5)
    assert used(books) == whole(books)


def test_a_span_larger_than_one_transaction_is_read_again_if_metering_overtook_it() -> None:
    books = Ledger(SNAPSHOT_RECORDS + 40)

    def fold_all_at_the_third_read() -> None:
        if books.reads == 3:  # the list, the roll-ups, then the snapshot
            books.fold_next(len(books.records))

    books.between_reads = fold_all_at_the_third_read
    assert used(books) == whole(books)


def test_parts_of_a_day_come_from_the_ledger() -> None:
    books = Ledger(50)
    books.fold_next(10)
    assert used(books, Span(DAY_START_MS + 5, DAY_START_MS + 20)).requests == 15


def test_records_of_other_days_are_not_counted() -> None:
    books = Ledger(50)
    assert used(books, Span(DAY_START_MS - DAY_MS, DAY_START_MS)) == NOTHING
