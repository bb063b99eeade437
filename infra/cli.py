"""The `sluice` command. A subcommand's module is imported when it is called, so that `up` starts quickly."""

import importlib

import click

COMMANDS = {
    "up": "start everything on this machine and stay until Ctrl-C",
    "doctor": "find problems of this machine and its configuration",
    "demo": "walk through the main functions of the running system",
    "admin": "make the first admin",
    "users": "list and show accounts, suspend and restore them, change their limits and roles",
    "tokens": "list the API tokens of an account",
    "docs": "put a folder of documents into an account's vector store",
    "usage": "show the usage of one account or of all",
    "ledger": "compare the usage sums with the ledger, and repair differences",
    "config": "check, show and change the owner's settings (sluice.toml)",
    "deploy": "deploy to AWS: keys, build, stack, first admin, smoke test",
    "destroy": "delete a deployment; the data stays unless --delete-data is given",
    "smoke": "test a running deployment from the outside",
    "prove": "check on a deployment what only a real account can show",
    "keys": "make and rotate the signing keys of a deployment",
    "migrate": "migrate a store of an earlier version to this version",
    "model": "list the models that can be served, download them, and try one",
}


class LazyGroup(click.Group):
    """Loads the command NAME from `infra.commands.NAME.command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        found = importlib.import_module(f"infra.commands.{cmd_name}").command
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Sluice: a metered gate in front of a model."""
