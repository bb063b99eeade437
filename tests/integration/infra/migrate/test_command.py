"""The command `sluice migrate`."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from infra.cli import main
from infra.migrations import record
from infra.migrations.steps import CURRENT
from sluice import settings
from tests.conftest import aws_environment
from tests.integration.infra.migrate.conftest import Store


@pytest.fixture
def run(old: Store, monkeypatch: pytest.MonkeyPatch) -> Any:
    def call(*arguments: str, **environment: str) -> Result:
        for name, value in (aws_environment(old.url) | {"SLUICE_TABLE_PREFIX": old.prefix} | environment).items():
            monkeypatch.setenv(name, value)
        settings.common.cache_clear()
        return CliRunner().invoke(main, ["migrate", *arguments])

    yield call
    settings.common.cache_clear()


def test_a_dry_run_lists_exactly_what_the_run_does(run: Any, old: Store) -> None:
    told = run("--dry-run").stdout
    assert f"schema 1 → {CURRENT}" in told
    assert f"index by_account of {old.prefix}mails: would be added" in told
    assert "2.limits-by-value: 2 items would be changed" in told
    assert not record.read(old.client, old.prefix).is_current
    done = run()
    assert done.exit_code == 0 and "2.limits-by-value: 2 items changed" in done.stdout
    assert record.read(old.client, old.prefix).is_current
    assert run().stdout == f"The store is of this version (schema {CURRENT}): nothing to do.\n"


def test_the_report_can_be_json(run: Any) -> None:
    told = json.loads(run("--dry-run", "--json").stdout)
    assert (told["dry_run"], told["from"], told["to"], told["items"]["2.limits-by-value"]) == (True, 1, CURRENT, 2)


def test_a_newer_store_is_refused_with_status_1(run: Any, old: Store) -> None:
    record.write(old.client, old.prefix, record.Record(CURRENT + 1))
    refused = run()
    assert refused.exit_code == 1
    assert "This store was written by a newer Sluice" in refused.stderr and "Traceback" not in refused.output


def test_with_the_option_tables_are_left_to_the_template(run: Any, old: Store) -> None:
    before = old.dump()
    refused = run("--no-tables")
    assert refused.exit_code == 1 and "make deploy" in refused.stderr
    assert old.dump() == before


def test_an_unreachable_store_gives_exit_status_2(run: Any) -> None:
    nowhere = run(AWS_ENDPOINT_URL_DYNAMODB="http://127.0.0.1:1")
    assert nowhere.exit_code == 2 and "the store does not answer. Start it" in nowhere.stderr
    assert "127.0.0.1:1" not in nowhere.stderr
