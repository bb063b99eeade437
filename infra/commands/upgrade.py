"""`sluice upgrade`."""

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.commands.backup import REFUSED, refuse_other_store, say, table_prefix
from infra.commands.ending import end

if TYPE_CHECKING:
    from infra.local.datadir import DataDir
    from infra.local.holder import Holder
    from infra.upgrading import Upgrade

LOOK_EVERY_SECONDS = 0.1
NOTE_SECONDS = 5.0
BACK = (
    "The store of {name} takes the place of the store. What was written since is lost: accounts, API tokens, requests. "
    "API tokens that were revoked since then and sessions that were ended are valid again."
)


@click.command("upgrade", help="Let the installed version take over from the running one, or go back if it cannot.")
@click.option("--check", is_flag=True, help="Only say what would be done; migrate a copy of the store to know.")
@click.option("--back", is_flag=True, help="Put back the newest store that an upgrade kept, and lose what came since.")
@click.option("--yes", is_flag=True, help="With --back: do not ask.")
def command(check: bool, back: bool, yes: bool) -> None:
    """Exit status: 0 done; 1 refused, or failed, and the store is as it was; 2 wrong options."""
    from infra.backup.errors import BackupRefused
    from infra.local.config import data_dir
    from infra.local.datadir import DataDir
    from infra.local.errors import LaunchError
    from infra.migrations.addresses import NotMigrated
    from infra.upgrading import Upgrade

    if check and back:
        end(2, "--check changes nothing and --back does: give one of them")
    refuse_other_store()
    data = DataDir(data_dir())
    upgrade = Upgrade(data.path, table_prefix(), say)
    try:
        if back:
            return _back(data, upgrade, yes)
        _rehearse(upgrade, _holder(data))
        if not check:
            _take_over(data, upgrade, _holder(data))  # another process may have the number of one that ended meanwhile
    except (BackupRefused, NotMigrated, LaunchError) as exc:
        end(REFUSED, str(exc))
    except OSError as exc:
        end(REFUSED, f"{exc.strerror or exc} ({exc.filename or data.path}).")


def _holder(data: "DataDir") -> "Holder | None":
    """The run that has the data directory. Errors: LaunchError."""
    from infra.local.errors import LaunchError
    from infra.local.holder import Holder

    until = time.monotonic() + NOTE_SECONDS
    while (note := data.holder()) is not None:
        if found := Holder.read(note):
            return found
        if time.monotonic() > until:
            raise LaunchError(f"something holds {data.run / 'lock'} and does not say who it is: {note!r}.")
        time.sleep(LOOK_EVERY_SECONDS)
    return None


def _rehearse(upgrade: "Upgrade", holder: "Holder | None") -> None:
    """Migrate a copy beside the run, so that what must fail fails before anything is stopped."""
    from infra.backup.saving import alone
    from infra.local.programs import store_binary

    running = f"process {holder.pid} runs on it ({holder.url})" if holder else "nothing runs on it"
    say(f"{upgrade.data_dir}: {running}.")
    store_binary()  # this version's may be another, which a service cannot install
    if not upgrade.needed():
        return say("its store needs no migration, so none is copied.")
    with alone(upgrade.data_dir) as scratch:
        began = time.monotonic()
        upgrade.rehearse(scratch, lambda text: say(f"with a copy: {text}"))
        seconds = time.monotonic() - began
    say(f"the copy was made, migrated and checked in {seconds:.1f} s. Callers get 503 for as long, a stop and a start.")


def _take_over(data: "DataDir", upgrade: "Upgrade", holder: "Holder | None") -> None:
    """In the process that runs, so that its terminal or service keeps it; or in this one."""
    from infra.local.holder import BEGIN_AGAIN
    from infra.local.launcher import Launcher
    from infra.upgrading import Upgrade

    if holder and holder.version:
        upgrade.failure.unlink(missing_ok=True)
        os.kill(holder.pid, BEGIN_AGAIN)
        return _follow(data, upgrade, holder)
    if holder:
        say(
            f"process {holder.pid} is of a version that cannot begin again, so it is stopped, and this process goes on."
        )
        os.kill(holder.pid, signal.SIGTERM)
        while (data.holder() or "").startswith(f"process {holder.pid},"):
            time.sleep(LOOK_EVERY_SECONDS)
    Launcher(Upgrade).run()


def _follow(data: "DataDir", upgrade: "Upgrade", before: "Holder") -> None:
    """Without asking for the lock: the run that begins again would take this for another one, and end."""
    from infra.local.holder import Holder
    from infra.local.processes import start_time
    from infra.local.readiness import health

    while True:
        now = Holder.read(_text(data.run / "lock"))
        if start_time(before.pid) is None or (now and now.pid != before.pid):
            why = _text(upgrade.failure) or "the run ended; its output says why."
            end(REFUSED, f"the upgrade failed: {why}")
        begun = now and now.since_ns != before.since_ns and not upgrade.trial.exists()
        if now and begun and health(now.url).get("status") == "ok":
            return say(f"sluice {now.version} runs at {now.url}, and is healthy.")
        time.sleep(LOOK_EVERY_SECONDS)


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def _back(data: "DataDir", upgrade: "Upgrade", yes: bool) -> None:
    from infra.backup.errors import BackupRefused
    from infra.local.launcher import LEFTOVER_PATIENCE_SECONDS
    from infra.local.processes import stop_recorded
    from infra.local.programs import EVERY

    kept = upgrade.kept()
    if not kept:
        raise BackupRefused(f"{upgrade.folder} holds no store of an earlier version.")
    data.take()
    stop_recorded(data.run, EVERY, LEFTOVER_PATIENCE_SECONDS)
    text = BACK.format(name=kept[0].name)
    if not yes:
        click.confirm(f"{text} Go on?", abort=True, err=True)
    say(text)
    upgrade.back(kept[0])
    say(f"done. {upgrade.way_back()}.")
