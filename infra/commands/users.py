"""`sluice users list|show|invite|suspend|restore|limits|role|remove-factors`: the admin's calls, for the operator."""

from collections.abc import Callable
from typing import Any, Literal

import click

from infra.commands.operator import BY_COMMAND, account_of, as_json, fields, now_ms, show, store
from sluice.services.operations.admin import Administration

MAX_LIMIT = 10**12
PAGE = 100


command = click.Group(
    "users", help="List, show and invite accounts, suspend and restore them, change their limits and roles."
)


@command.command("list")
@click.option("--query", default="", help="Part of an address or of a name, or an id.")
@as_json
def list_command(query: str, as_json: bool) -> None:
    """List every account, or those that match QUERY."""
    with store():
        rows = _rows(query)
        show({"data": rows}, as_json, lambda: [_line(row) for row in rows])


def _rows(query: str) -> list[dict[str, Any]]:
    from sluice.http.operations import UserRow
    from sluice.wiring.operations import all_users

    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = all_users().page(query, limit=PAGE, after=cursor)
        rows += [UserRow.of(account).model_dump() for account in page.users]
        cursor = page.next_cursor
        if cursor is None:
            return sorted(rows, key=lambda row: str(row["email"]))


def _line(row: dict[str, Any]) -> str:
    return f"{row['id']}  {row['status']:9}  {row['role']:5}  {row['created_at']}  {row['email']}"


@command.command("show")
@click.argument("user")
@as_json
def show_command(user: str, as_json: bool) -> None:
    """Show one account (USER: id or address), its limits and this month's usage."""
    _change(user, as_json, lambda *_: None)


@command.command("invite")
@click.argument("email")
@click.option("--plan", default="", help="The name of a plan of sluice.toml. Default: its default plan.")
@as_json
def invite(email: str, plan: str, as_json: bool) -> None:
    """Mail EMAIL a link that makes an account with this address."""
    from sluice.domain.accounts.visitor import Visitor
    from sluice.http.invitations import InvitationInfo
    from sluice.wiring.operations import invitations

    with store():
        invited = invitations().invite(BY_COMMAND, email, plan, Visitor("", now_ms()))
        shown = InvitationInfo.of(invited).model_dump()
        show(shown, as_json, lambda: fields(shown))


@command.command("suspend")
@click.argument("user")
@as_json
def suspend(user: str, as_json: bool) -> None:
    """Block USER at once: API tokens, sessions and running streams."""
    _change(user, as_json, lambda admin, account_id: admin.suspend(BY_COMMAND, account_id, now_ms()))


@command.command("restore")
@click.argument("user")
@as_json
def restore(user: str, as_json: bool) -> None:
    """Undo a suspension, at once."""
    _change(user, as_json, lambda admin, account_id: admin.restore(BY_COMMAND, account_id, now_ms()))


@command.command("limits")
@click.argument("user")
@click.option("--rpm", type=click.IntRange(0, MAX_LIMIT), help="Requests a minute.")
@click.option("--tpm", type=click.IntRange(0, MAX_LIMIT), help="Model tokens a minute.")
@click.option("--concurrency", type=click.IntRange(0, MAX_LIMIT), help="Requests at once.")
@click.option("--monthly-tokens", type=click.IntRange(0, MAX_LIMIT), help="Model tokens a month.")
@as_json
def limits(user: str, as_json: bool, **wanted: int | None) -> None:
    """Change the limits of USER from the next request on. 0 allows nothing; omitted limits stay."""
    given = {name: value for name, value in wanted.items() if value is not None}
    _change(
        user, as_json, lambda admin, account_id: given and admin.set_limits(BY_COMMAND, account_id, given, now_ms())
    )


@command.command("role")
@click.argument("user")
@click.argument("role", type=click.Choice(["user", "admin"]))
@as_json
def role(user: str, role: Literal["user", "admin"], as_json: bool) -> None:
    """Make USER an admin or an ordinary user, from the next request on."""
    _change(user, as_json, lambda admin, account_id: admin.set_role(BY_COMMAND, account_id, role, now_ms()))


@command.command("remove-factors")
@click.argument("user")
@as_json
def remove_factors(user: str, as_json: bool) -> None:
    """Switch off the two-step login of USER, who has lost every second factor and recovery code."""
    from sluice.wiring.operations import factor_removal

    _change(user, as_json, lambda _, account_id: factor_removal().remove(BY_COMMAND, account_id, now_ms()))


def _change(user: str, wanted_json: bool, change: Callable[[Administration, str], object]) -> None:
    """Call `change(administration, account id)`, then print the account."""
    from sluice.http.operations import UserInfo
    from sluice.wiring.accounts import profile
    from sluice.wiring.operations import administration

    with store():
        account_id = account_of(user).account_id
        change(administration(), account_id)
        shown = UserInfo.detail(profile().overview(account_id, now_ms())).model_dump()
        show(shown, wanted_json, lambda: fields(shown))
