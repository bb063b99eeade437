"""`sluice tokens list USER`."""

import click

from infra.commands.operator import account_of, as_json, now_ms, show, store

command = click.Group("tokens", help="List the API tokens of an account.")


@command.command("list")
@click.argument("user")
@as_json
def list_command(user: str, as_json: bool) -> None:
    """The API tokens of USER (id or address), newest first. The tokens themselves are not stored."""
    from sluice.http.tokens import TokenInfo
    from sluice.wiring.tokens import tokens

    with store():
        found = tokens().all(account_of(user).account_id, now_ms())
        rows = [TokenInfo.of(each).model_dump() for each in found]
        show(
            {"data": rows},
            as_json,
            lambda: [
                f"{row['id']}  {row['status']:7}  …{row['hint']}  expires {row['expires_at']}  "
                f"last used {row['last_used_at'] or 'never':20}  {row['name']}"
                for row in rows
            ],
        )
