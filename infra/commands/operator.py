"""Shared by the operator's commands: the running store, error messages, and the two output formats."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from infra.commands.ending import end
from infra.local.store_address import use_running_store
from infra.place import UP
from sluice.domain.accounts.account import Account
from sluice.domain.accounts.audit import OPERATOR
from sluice.domain.errors import SluiceError, StoreUnavailable, ValidationFailed
from sluice.services.operations.admin import Actor

REFUSED, NO_STORE = 1, 2
BY_COMMAND = Actor(OPERATOR)
STORE_SILENT = (
    f"the store does not answer. Start it ({UP}). If it runs, set SLUICE_DATA_DIR to the folder that `{UP}` names "
    "after “data:”, or AWS_ENDPOINT_URL to the store in use."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document, as the HTTP API does.")


@contextmanager
def store() -> Iterator[None]:
    """Exit status: 1 refused, 2 the store does not answer."""
    try:
        use_running_store()
        yield
    except StoreUnavailable:
        end(NO_STORE, STORE_SILENT)
    except ValidationFailed as exc:
        end(REFUSED, "; ".join(f"{p.field}: {p.message}" for p in exc.problems) or exc.message)
    except SluiceError as exc:
        end(REFUSED, exc.message)


def account_of(user: str) -> Account:
    """The account of an id or an address. Raises NotFound, or ValidationFailed when `user` is neither."""
    from sluice.wiring.operations import all_users

    return all_users().find(user, now_ms())


def show(document: Any, wanted_json: bool, plain: Callable[[], Iterable[str]]) -> None:
    if wanted_json:
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for line in plain():
        click.echo(line)


def fields(shown: Mapping[str, Any]) -> Iterator[str]:
    """One line per field; a nested object is printed on one line."""
    width = max(map(len, shown))
    for name, value in shown.items():
        text = " ".join(f"{key}={one}" for key, one in value.items()) if isinstance(value, dict) else value
        yield f"{name:{width}}  {'' if text is None else text}"


def now_ms() -> int:
    return time.time_ns() // 1_000_000
