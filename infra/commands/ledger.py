"""`sluice ledger reconcile`."""

import sys

import click

from infra.commands.operator import now_ms, store

command = click.Group("ledger", help="Check the ledger, which has one record per request.")


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
