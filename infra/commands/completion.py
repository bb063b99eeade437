"""`sluice completion bash|zsh|fish`."""

import click
from click.shell_completion import get_completion_class

HELP = """Print what makes a shell complete commands and options. In its start-up file:

\b
bash  eval "$(sluice completion bash)"
zsh   eval "$(sluice completion zsh)"
fish  sluice completion fish | source"""


@click.command("completion", help=HELP)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, "sluice", "_SLUICE_COMPLETE").source())
