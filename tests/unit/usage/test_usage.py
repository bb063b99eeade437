"""Sums of usage in integers, by day, model and API token."""

from sluice.domain.ids import request_id
from sluice.domain.usage.ledger import LedgerRecord
from sluice.domain.usage.usage import NOTHING, Amounts, Bucket, amounts_of, bucket_of, grouped, roll_up, total

MIDNIGHT_MS = 1_795_219_200_000  # 2026-11-21


def record(at_ms: int, *, model: str = "demo", token_id: str = "tok_a", took_ms: int | None = 9) -> LedgerRecord:
    return LedgerRecord(
        "usr_a", request_id(at_ms), token_id, model, "completions", False, 200,
        2, 3, 0, 5, at_ms, took_ms, None, None, 202611,
    )  # fmt: skip


def test_a_record_belongs_to_the_utc_day_of_its_id() -> None:
    assert bucket_of(record(MIDNIGHT_MS - 1)).day == "2026-11-20"
    assert bucket_of(record(MIDNIGHT_MS)).day == "2026-11-21"


def test_a_bucket_is_parsed_from_its_key_for_any_name_of_a_model() -> None:
    for model in ("demo", "a#b", "#", "org/name:tag", ""):
        bucket = Bucket("2026-11-20", model, "tok_a")
        assert Bucket.parse(bucket.key) == bucket


def test_a_record_without_a_latency_adds_none() -> None:
    assert amounts_of(record(MIDNIGHT_MS, took_ms=None)) == Amounts(1, 2, 3, 5, 0)


def test_rows_are_sorted_by_key_and_empty_rows_are_left_out() -> None:
    sums = roll_up([record(MIDNIGHT_MS, model="b"), record(MIDNIGHT_MS, model="a"), record(MIDNIGHT_MS, model="b")])
    sums[Bucket("2026-11-19", "zero", "tok_a")] = NOTHING
    assert grouped(sums, "model") == {"a": Amounts(1, 2, 3, 5, 9), "b": Amounts(2, 4, 6, 10, 18)}
    assert list(grouped(sums, "model")) == ["a", "b"]
    assert total(sums) == Amounts(3, 6, 9, 15, 27)


def test_adding_a_difference_gives_the_other_amount() -> None:
    one, other = Amounts(5, 4, 3, 2, 1), Amounts(1, 2, 3, 4, 5)
    assert other + (one - other) == one


def test_a_sum_has_a_cost_as_soon_as_one_part_had_a_price() -> None:
    unpriced, free = Amounts(1, 2, 3, None, 4), Amounts(1, 0, 0, 0, 4)
    assert (unpriced + unpriced).cost_micro_usd is None
    assert (unpriced + free).cost_micro_usd == (free - unpriced).cost_micro_usd == 0
