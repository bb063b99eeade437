"""`sluice ledger reconcile`."""

import sys
import time

import click

from infra.local.store_address import use_running_store
from sluice.domain.errors import StoreUnavailable


@click.group("ledger", help="Look after the ledger: one record for every request.")
def command() -> None:
    pass


@command.command("reconcile")
@click.option("--account", "account_id", help="Only this account (usr_…); default: all of them.")
@click.option("--fix", is_flag=True, help="Repair what differs, by additions: safe while the system runs.")
def reconcile(account_id: str | None, fix: bool) -> None:
    """Recompute the roll-ups and the month's quota from the ledger, and report every difference.

    Exit status: 0 nothing differs (or all was repaired), 1 something differs, 2 the store does not answer.
    """
    use_running_store()
    try:
        found = _reconcile(account_id, fix)
    except StoreUnavailable:
        click.echo(
            "sluice: the store does not answer. Start it (make up), or set AWS_ENDPOINT_URL to the one in use.",
            err=True,
        )
        sys.exit(2)
    sys.exit(1 if found and not fix else 0)


def _reconcile(account_id: str | None, fix: bool) -> int:
    """How many differences there are, each printed."""
    from sluice.wiring import stores
    from sluice.wiring.usage import reconciliation

    books = reconciliation()
    accounts = found = 0
    for one in [account_id] if account_id else stores.accountant().accounts():
        accounts += 1
        for difference in books.differences(one, _now_ms()):
            found += 1
            if fix:
                books.repair(difference, _now_ms())
            click.echo(f"{difference}{' (repaired)' if fix else ''}")
    click.echo(f"{accounts} accounts, {found} differences{' repaired' if fix and found else ''}")
    return found


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
