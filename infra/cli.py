"""The `sluice` command. A subcommand's module is imported when it is called, so that `up` starts quickly."""

import importlib
import os

import click

from infra.place import CHECKOUT, data
from sluice import __version__

COMMANDS = {
    "up": "start everything on this machine and stay until Ctrl-C",
    "service": "run it as a service of systemd: install, status, logs, uninstall",
    "status": "say on one screen how the running system is",
    "top": "watch requests, tokens, queue and memory of the running system",
    "dashboard": "print the dashboard for Grafana, or the alert rules for Prometheus",
    "doctor": "find problems of this machine and its configuration; `doctor mail`: of its mails",
    "store": "run the store by itself, for several machines",
    "demo": "walk through the main functions of the running system",
    "admin": "make the first admin",
    "users": "list and show accounts, suspend and restore them, change their limits and roles",
    "tokens": "list the API tokens of an account",
    "docs": "put a folder of documents into an account's vector store",
    "batch": "answer a file of requests in the background",
    "usage": "show the usage of one account or of all",
    "ledger": "compare the usage sums with the ledger, repair differences, and export the ledger",
    "config": "check, show and change the owner's settings (sluice.toml)",
    "backup": "save this machine's data in one encrypted file, also while it runs",
    "restore": "make the data directory of a backup",
    "upgrade": "let the installed version take over from the running one, or go back if it cannot",
    "proxy": "print the configuration of Caddy or nginx in front of Sluice",
    "deploy": "deploy to AWS: keys, build, stack, first admin, smoke test",
    "destroy": "delete a deployment; the data stays unless --delete-data is given",
    "smoke": "test a running deployment from the outside",
    "prove": "check on a deployment what only a real account can show",
    "keys": "make and rotate the signing keys of a deployment; `keys dkim`: of mails",
    "migrate": "migrate a store of an earlier version to this version",
    "model": "list the models that can be served, download them, and try one",
    "completion": "print what makes a shell complete these commands",
}
OF_A_CHECKOUT = ("deploy", "prove")


class LazyGroup(click.Group):
    """Loads the command NAME from `infra.commands.NAME.command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name in OF_A_CHECKOUT and not CHECKOUT and not ctx.resilient_parsing:
            raise click.ClickException(f"`sluice {cmd_name}` builds from the sources, so it works in a checkout only")
        found = importlib.import_module(f"infra.commands.{cmd_name}").command
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sluice")
def main() -> None:
    """Sluice: a metered gate in front of a model."""
    if not CHECKOUT:  # the default of every settings class is a checkout's
        os.environ["SLUICE_DATA_DIR"] = os.environ.get("SLUICE_DATA_DIR") or str(data())
