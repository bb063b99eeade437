"""What the operator's commands share: the running store, plain errors, and the two forms of output."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from infra.local.store_address import use_running_store
from sluice.domain.accounts.account import Account
from sluice.domain.accounts.audit import OPERATOR
from sluice.domain.errors import SluiceError, StoreUnavailable, ValidationFailed
from sluice.services.operations.admin import Actor

REFUSED, NO_STORE = 1, 2
BY_COMMAND = Actor(OPERATOR)
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document, as the HTTP API answers.")


@contextmanager
def store() -> Iterator[None]:
    """Exit status: 1 what was asked is refused, 2 the store does not answer."""
    use_running_store()
    try:
        yield
    except StoreUnavailable:
        _end(NO_STORE, "the store does not answer. Start it (make up), or set AWS_ENDPOINT_URL to the one in use.")
    except ValidationFailed as exc:
        _end(REFUSED, "; ".join(f"{p.field}: {p.message}" for p in exc.problems) or exc.message)
    except SluiceError as exc:
        _end(REFUSED, exc.message)


def _end(status: int, message: str) -> None:
    click.echo(f"sluice: {message}", err=True)
    sys.exit(status)


def account_of(user: str) -> Account:
    """By id or by address. Errors: NotFound, ValidationFailed (neither)."""
    from sluice.wiring.operations import all_users

    return all_users().find(user)


def show(document: Any, wanted_json: bool, plain: Callable[[], Iterable[str]]) -> None:
    if wanted_json:
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for line in plain():
        click.echo(line)


def fields(shown: Mapping[str, Any]) -> Iterator[str]:
    """`name: value` lines; what is nested goes on one line."""
    width = max(map(len, shown))
    for name, value in shown.items():
        text = " ".join(f"{key}={one}" for key, one in value.items()) if isinstance(value, dict) else value
        yield f"{name:{width}}  {'' if text is None else text}"


def now_ms() -> int:
    return time.time_ns() // 1_000_000
