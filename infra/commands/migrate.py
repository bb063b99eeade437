"""`sluice migrate`."""

import os

import click

from infra.commands.ending import end
from infra.commands.operator import NO_STORE, REFUSED, STORE_SILENT, as_json, show
from infra.local.store_address import use_running_store

ENDPOINTS = ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL")


@click.command("migrate", help="Migrate a store of an earlier version to this version.")
@click.option("--dry-run", is_flag=True, help="Print the changes without making them.")
@click.option(
    "--tables/--no-tables",
    default=None,
    help="Add missing tables and indexes. Default: not on AWS, because the template adds them there.",
)
@as_json
def command(dry_run: bool, tables: bool | None, as_json: bool) -> None:
    """Exit status: 0 the store has this version; 1 refused; 2 the store does not answer."""
    from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError

    from infra.migrations.addresses import NotMigrated
    from infra.migrations.connection import connect
    from infra.migrations.run import TablesAreTheStacks, migrate, plan
    from infra.migrations.structure import WrongTable
    from sluice import settings
    from sluice.domain.errors import Unavailable

    try:
        use_running_store()
    except Unavailable as exc:
        end(NO_STORE, exc.message)
    prefix = settings.common().table_prefix
    ours = any(os.environ.get(name) for name in ENDPOINTS) if tables is None else tables
    try:
        if dry_run:
            outcome = plan(connect(), prefix)
        else:
            outcome = migrate(connect(), prefix, lambda text: click.echo(f"sluice: {text}", err=True), tables=ours)
    except TablesAreTheStacks as exc:
        end(REFUSED, f"{exc}. Deploy the template first (make deploy), which adds them. Nothing was changed.")
    except (NotMigrated, WrongTable) as exc:
        end(REFUSED, str(exc))
    except EndpointConnectionError:
        end(NO_STORE, STORE_SILENT)
    except (BotoCoreError, ClientError) as exc:
        end(NO_STORE, f"the store does not answer, or reports an error: {exc}")
    result = {
        "dry_run": dry_run,
        "from": outcome.from_version,
        "to": outcome.to_version,
        "added": outcome.added,
        "items": outcome.changed,
    }
    show(result, as_json, lambda: _plain(result))


def _plain(result: dict[str, object]) -> list[str]:
    added, items = result["added"], result["items"]
    assert isinstance(added, list) and isinstance(items, dict)
    would = "would be " if result["dry_run"] else ""
    lines = [f"{what}: {would}added" for what in added]
    lines += [f"{step}: {count} items {would}changed" for step, count in items.items()]
    if not lines:
        return [f"The store is of this version (schema {result['to']}): nothing to do."]
    return [f"schema {result['from']} → {result['to']}", *lines]
