"""`sluice ledger export`: the books up to a moment, as CSV."""

import csv
import io
from typing import Any

import pytest
from click.testing import CliRunner, Result

from infra.commands.ledger import command
from tests.integration.usage.world import HOUR_MS, UsageWorld
from tests.store_clients import forget_store_clients

NOON_MS = 1_795_608_000_000  # 2026-11-25T12:00:00Z


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["export", *arguments])


def rows(*arguments: str) -> list[dict[str, str]]:
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    return list(csv.DictReader(io.StringIO(done.stdout, newline="")))


def test_every_accounts_records_of_before_the_moment_are_there_once(world: UsageWorld) -> None:
    account = world.account()  # the others have no grant, as after an account's deletion
    wanted = []
    for account_id in (account.account_id, "usr_a", "usr_b"):
        wanted += [world.record(account_id, at_ms=NOON_MS - back) for back in (1, HOUR_MS, 300 * 24 * HOUR_MS)]
        for later in (0, HOUR_MS):
            world.record(account_id, at_ms=NOON_MS + later)
    found = rows("--until", "2026-11-25T12:00:00Z")
    assert {row["request_id"] for row in found} == {record.request_id for record in wanted}
    assert len(found) == len(wanted)
    by_id = {row["request_id"]: row for row in found}
    for record in wanted:
        row = by_id[record.request_id]
        assert (row["account_id"], row["prompt_tokens"]) == (record.account_id, str(record.prompt_tokens))
        assert int(row["completion_tokens"]) == record.completion_tokens
        assert int(row["cost_micro_usd"]) == record.cost_micro_usd
    assert by_id[wanted[0].request_id]["created_at"] == "2026-11-25T11:59:59Z"
    assert len(rows()) == 15 and len(rows("--from", "2026-11-25")) == 12
    assert len(rows("--from", "2026-11-25T12:00:00Z", "--until", "2026-11-25")) == 6


def test_the_same_moment_gives_the_same_file_whatever_comes_later(world: UsageWorld) -> None:
    records = [world.record(at_ms=NOON_MS - 1)]
    before = run("--until", "2026-11-25T12:00:00Z").output
    world.deliver(records)
    world.record(at_ms=NOON_MS)
    assert run("--until", "2026-11-25T12:00:00Z").output == before


def test_many_pages_are_read_and_no_field_is_a_formula(world: UsageWorld) -> None:
    for number in range(15):  # more than the megabyte that one call reads
        world.record(at_ms=NOON_MS - number, upstream="x" * 100_000, model="=1+1", cost_micro_usd=None)
    found = rows()
    assert len(found) == 15 and {row["model"] for row in found} == {"'=1+1"}
    assert {row["cost_micro_usd"] for row in found} == {""}


@pytest.mark.parametrize("arguments", [("--until", "noon"), ("--from", "2026-02-31"), ("--until", "1969-01-01")])
def test_other_moments_are_refused(world: UsageWorld, arguments: Any) -> None:
    done = run(*arguments)
    assert done.exit_code == 1 and "sluice: " in done.stderr


def test_an_unreachable_store_is_reported(world: UsageWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_store_clients()
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")
    done = run()
    assert done.exit_code == 2 and "the store does not answer" in done.stderr
