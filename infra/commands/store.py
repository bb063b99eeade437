"""`sluice store`: the store by itself, for several machines."""

import click

from infra.commands.backup import say, table_prefix
from infra.commands.ending import end
from infra.place import UP


@click.command("store")
@click.option(
    "--listen", default="127.0.0.1:8000", show_default=True, metavar="HOST:PORT", help="An address of this machine."
)
def command(listen: str) -> None:
    """Run the store of this data directory by itself, for several machines, until Ctrl-C.

    It asks for no password and does not encrypt: listen on a private network only, such as WireGuard's. The other
    machines run `sluice up` with AWS_ENDPOINT_URL_DYNAMODB=http://HOST:PORT.
    """
    from infra.local import store_alone
    from infra.local.config import data_dir
    from infra.local.errors import LaunchError
    from infra.upgrading import Upgrade

    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        end(2, f"{listen!r} is not HOST:PORT")
    if not Upgrade(data_dir(), table_prefix(), say).has_ended:
        end(1, f"an upgrade of {data_dir()} has not ended, which may still put back the store of before: {UP}")
    try:
        store_alone.serve(host.strip("[]"), int(port))
    except LaunchError as exc:
        end(1, str(exc))
