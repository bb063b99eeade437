"""`sluice usage show [USER]`."""

from typing import Any, Literal, cast

import click

from infra.commands.operator import account_of, as_json, now_ms, show, store
from sluice.domain.spans import Span, parse_span
from sluice.domain.usage.usage import Group

command = click.Group("usage", help="Show the usage of one account or of all.")


@command.command("show")
@click.argument("user", required=False)
@click.option("--from", "from_", help="The first day (2026-11-01).  [default: this month's first]")
@click.option("--to", help="The last day.  [default: today]")
@click.option("--group-by", type=click.Choice(["day", "model", "token", "account"]), default="day")
@as_json
def show_command(user: str | None, from_: str | None, to: str | None, group_by: str, as_json: bool) -> None:
    """Requests, model tokens and cost: of USER (id or address), exact; or of all accounts, from the roll-ups."""
    if user and group_by == "account":
        raise click.UsageError("USER is one account, so group by day, model or token.")
    with store():
        span = parse_span(from_, to, now_ms())
        found = _of_one(user, span, cast(Group, group_by)) if user else _of_all(span, group_by)
        show(found, as_json, lambda: [_line(row) for row in [*found["data"], {"key": "total", **found["total"]}]])


def _of_one(user: str, span: Span, group: Group) -> dict[str, Any]:
    from sluice.http.usage import UsageReport
    from sluice.wiring.usage import usage_sums

    sums = usage_sums().by_bucket(account_of(user).account_id, span, now_ms())
    return UsageReport.of(sums, group).model_dump()


def _of_all(span: Span, group: str) -> dict[str, Any]:
    from sluice.http.operations import AdminUsage
    from sluice.wiring.usage import everyones_sums

    found = everyones_sums().between(span)
    wanted = cast(Literal["day", "model", "token", "account"], group)
    return AdminUsage.of(found, wanted).model_dump()


def _line(row: dict[str, Any]) -> str:
    cost = "" if row["cost_usd"] is None else f"  {row['cost_usd']:.6f} USD"
    return (
        f"{row['key']:32} {row['requests']:>10} requests {row['prompt_tokens']:>12} prompt tokens "
        f"{row['completion_tokens']:>12} completion tokens{cost}"
    )
