"""`sluice restore FILE`."""

import click

from infra.commands.backup import REFUSED, passphrase_file, read_passphrase, refuse_other_store, say, table_prefix
from infra.commands.ending import end

AFTERWARDS = (
    "What was ended after the backup lives again: API tokens revoked since then, sessions logged out since then. "
    "If that matters, restore with --revoke-all-tokens and --end-sessions."
)


@click.command("restore", help="Make the data directory of a backup: a file, or s3://bucket/key.")
@click.argument("file")
@passphrase_file
@click.option("--revoke-all-tokens", is_flag=True, help="No API token of the backup is valid.")
@click.option("--end-sessions", is_flag=True, help="Everybody has to log in again.")
def command(file: str, passphrase_file: str | None, revoke_all_tokens: bool, end_sessions: bool) -> None:
    """Exit status: 0 restored; 1 refused, and nothing was changed."""
    from infra.backup.errors import BackupRefused
    from infra.backup.places import opened
    from infra.backup.restoring import Ended, refuse_used, restore
    from infra.local.config import data_dir
    from infra.local.errors import LaunchError
    from infra.migrations.addresses import NotMigrated
    from sluice.domain.errors import StoreUnavailable
    from sluice.domain.periods import rfc3339

    refuse_other_store()
    target, ended = data_dir(), Ended(revoke_all_tokens, end_sessions)
    try:
        refuse_used(target)  # before it asks for a passphrase
        with opened(file) as content:
            made = restore(content, target, table_prefix(), lambda: read_passphrase(passphrase_file), ended, say)
    except (BackupRefused, LaunchError, NotMigrated) as exc:
        end(REFUSED, f"nothing was restored: {exc}")
    except StoreUnavailable as exc:
        end(REFUSED, f"nothing was restored: {exc.message}")
    except OSError as exc:
        end(REFUSED, f"nothing was restored: {exc.strerror or exc} ({exc.filename or file}).")
    say(f"restored {target} as it was at {rfc3339(made.taken_ms)}: {made.ledger['requests']} requests in the ledger.")
    if not (revoke_all_tokens and end_sessions):
        say(AFTERWARDS)
    say("make up starts it.")
