"""`sluice ledger reconcile|export`."""

import sys

import click

from infra.commands.operator import now_ms, store

command = click.Group("ledger", help="Check or export the ledger, which has one record per request.")

NOT_EXPORTED = ("created_ms", "rolled_up_ms")
"""A time stands as a date. The second is no part of the books, and changes after the record is written."""


@command.command("reconcile")
@click.option("--account", "account_id", help="Only this account (usr_…); default: all accounts.")
@click.option("--fix", is_flag=True, help="Repair the differences, by additions, which is safe while the system runs.")
def reconcile(account_id: str | None, fix: bool) -> None:
    """Recompute the roll-ups and the month's quota from the ledger, and report every difference.

    Exit status: 0 no differences (or all were repaired), 1 differences, 2 the store does not answer.
    """
    with store():
        found = _reconcile(account_id, fix)
    sys.exit(1 if found and not fix else 0)


def _reconcile(account_id: str | None, fix: bool) -> int:
    """Print the differences and return their number."""
    from sluice.wiring import stores
    from sluice.wiring.usage import reconciliation

    books = reconciliation()
    accounts = found = 0
    for one in [account_id] if account_id else stores.accountant().accounts():
        accounts += 1
        for difference in books.differences(one, now_ms()):
            found += 1
            if fix:
                books.repair(difference, now_ms())
            click.echo(f"{difference}{' (repaired)' if fix else ''}")
    click.echo(f"{accounts} accounts, {found} differences{' repaired' if fix and found else ''}")
    return found


@command.command("export")
@click.option("--from", "from_", default="1970-01-01", help="The first day (2026-11-01), or an RFC 3339 time.")
@click.option("--until", help="The last day, or the first moment left out (2026-11-20T12:00:00Z).  [default: today]")
def export(from_: str, until: str | None) -> None:
    """Print the records of requests that began by a moment as CSV: every account's, deleted ones too. Money is in
    micro-dollars.

    The ledger is only added to, so the same moment gives the same file once all requests of before it have ended. Exit
    status: 0 all is there; 1 refused; 2 the store does not answer, and the file is not whole.
    """
    from dataclasses import fields

    from sluice.domain.periods import rfc3339
    from sluice.domain.spans import parse_span
    from sluice.domain.usage.ledger import LedgerRecord
    from sluice.http.csv_file import csv_lines
    from sluice.wiring import stores

    names = [field.name for field in fields(LedgerRecord) if field.name not in NOT_EXPORTED]
    with store():
        records = stores.accountant().records(parse_span(from_, until, now_ms()))
        rows = ([rfc3339(one.created_ms), *(getattr(one, name) for name in names)] for one in records)
        for line in csv_lines(["created_at", *names], rows):
            click.echo(line, nl=False)
