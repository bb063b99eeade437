"""`sluice backup`."""

import os
import re
import time
from pathlib import Path

import click

from infra.commands.ending import ask, end

EVERY = re.compile(r"(\d{1,4})([mhd])", re.ASCII)
SECONDS = {"m": 60, "h": 3_600, "d": 86_400}
SHORTEST_PASSPHRASE = 12
REFUSED = 1
LESS_URGENT = 10
"""Than the requests that are served meanwhile."""
OPEN = "not encrypted: whoever reads the file has everyone's data, password hashes, and the keys that sign API tokens."
ELSEWHERE = "the store is not in the data directory (AWS_ENDPOINT_URL is set), so its own backups have to save it."


class Interval(click.ParamType[int]):
    """Seconds, of `30m`, `6h`, `1d`."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, str) and (found := EVERY.fullmatch(value)) and int(found[1]):
            return int(found[1]) * SECONDS[found[2]]
        self.fail(f"{value!r} is not of the form 30m, 6h or 1d.", param, ctx)


passphrase_file = click.option(
    "--passphrase-file", type=click.Path(exists=True, dir_okay=False), help="Its first line; default: ask."
)


@click.command("backup", help="Save this machine's data in one encrypted file, also while it runs, and read it back.")
@click.option("--to", default=".", show_default=True, help="A folder, or s3://bucket/folder.")
@click.option("--every", type=Interval(), help="Repeat it until Ctrl-C: 30m, 6h, 1d.")
@click.option("--keep", type=click.IntRange(1), help="Delete all but the newest N backups there, after a good one.")
@passphrase_file
@click.option("--no-encryption", is_flag=True, help="Without a passphrase.")
def command(to: str, every: int | None, keep: int | None, passphrase_file: str | None, no_encryption: bool) -> None:
    """Exit status: 0 done; 1 refused, or failed."""
    from infra.local.config import data_dir
    from infra.local.stop_signals import StopSignals

    refuse_other_store()
    if no_encryption and passphrase_file:
        raise click.UsageError("--no-encryption needs no --passphrase-file.")
    if no_encryption:
        say(OPEN)
    passphrase = "" if no_encryption else _new_passphrase(passphrase_file)
    os.nice(LESS_URGENT)
    if every is None:
        if problem := _once(data_dir(), to, passphrase, keep):
            end(REFUSED, problem)
        return
    signals = StopSignals()
    while True:
        began = time.monotonic()
        if problem := _once(data_dir(), to, passphrase, keep):
            say(f"{problem} The next is tried in {every // 60} minutes.")
        if signals.wait(max(0.0, every - (time.monotonic() - began))):
            return


def _once(data: Path, to: str, passphrase: str, keep: int | None) -> str:
    """→ what failed; empty if nothing did."""
    from infra.backup.errors import BackupRefused
    from infra.backup.places import place
    from infra.backup.saving import back_up, delete_older
    from infra.migrations.addresses import NotMigrated

    failed = "no backup was made"
    try:
        kept_at = place(to, data)
        name, _ = back_up(data, table_prefix(), kept_at, passphrase, say)
        failed = "older backups were not deleted"
        if keep:
            delete_older(kept_at, name, keep, say)
    except (BackupRefused, NotMigrated) as exc:
        return f"{failed}: {exc}"
    except OSError as exc:
        return f"{failed}: {exc.strerror or exc} ({exc.filename or to})."
    return ""


def refuse_other_store() -> None:
    if os.environ.get("AWS_ENDPOINT_URL_DYNAMODB") or os.environ.get("AWS_ENDPOINT_URL"):
        end(REFUSED, ELSEWHERE)


def table_prefix() -> str:
    return os.environ.get("SLUICE_TABLE_PREFIX") or "sluice-"


def _new_passphrase(file: str | None) -> str:
    """Errors: ends the command if it is too short."""
    passphrase = read_passphrase(file, confirm=True)
    if len(passphrase) < SHORTEST_PASSPHRASE:
        end(REFUSED, f"a passphrase needs {SHORTEST_PASSPHRASE} characters: anyone who has the file can guess at it.")
    return passphrase


def read_passphrase(file: str | None, *, confirm: bool = False) -> str:
    """Never an argument, because all users of the machine can see arguments."""
    if file:
        try:
            return (Path(file).read_text("utf-8").splitlines() or [""])[0]
        except ValueError:
            end(REFUSED, f"{file} is not a text in UTF-8.")
    return ask("Passphrase", "--passphrase-file FILE", confirm=confirm)


def say(text: str) -> None:
    click.echo(f"sluice: {text}", err=True)
