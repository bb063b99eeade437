"""The `sluice` command. A subcommand's module is imported when it is called: `up` must not pay for the others."""

import importlib

import click

COMMANDS = {
    "up": "start everything on this machine and stay until Ctrl-C",
    "doctor": "say in plain words what is wrong with this machine or its configuration",
    "demo": "walk through the whole path against the running system",
    "admin": "make the first admin",
    "users": "look at accounts, suspend and restore them, change their limits and roles",
    "tokens": "look at the API tokens of an account",
    "docs": "put a folder of documents into an account's vector store",
    "usage": "what was used, by one account or by all",
    "ledger": "hold the sums of usage against the ledger, and repair what differs",
    "deploy": "deploy to AWS: keys, build, stack, first admin, and a look at it from the outside",
    "destroy": "take a deployment away; the data stays unless told otherwise",
    "smoke": "ask a running deployment, from the outside, whether it keeps its promises",
    "keys": "make and change the signing keys of a deployment",
    "migrate": "bring a store that an earlier version wrote to this version",
    "model": "list the models that can be served, and bring one here",
}


class LazyGroup(click.Group):
    """Each command is `command` in `infra.commands.NAME`."""

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
