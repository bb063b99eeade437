"""The models bound to this deployment's tables, with one client for all of them, and the small client's errors.

PynamoDB would build a client for each model, and botocore takes 100 ms of CPU for one. So the models of a process share
one client, with the deadlines, endpoint and credentials of all other calls to the store.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar, cast

from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.session import get_session
from pynamodb.connection import Connection
from pynamodb.exceptions import PynamoDBException
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from sluice.adapters.aws import dynamo
from sluice.adapters.aws.json_service import ORDINARY, Refused, Unanswered
from sluice.adapters.aws.unix_sockets import led_to_store
from sluice.once import once

M = TypeVar("M", bound=Model)
Result = TypeVar("Result")
_building = threading.Lock()


@once
def client() -> Any:
    """botocore's client, shared by all models. Thread-safe.

    In legacy mode, because only that has DynamoDB's short retry pauses (50 ms); other modes wait for seconds."""
    config = Config(
        connect_timeout=ORDINARY.connect_seconds,
        read_timeout=ORDINARY.read_seconds,
        retries={"mode": "legacy", "max_attempts": ORDINARY.attempts - 1},
        max_pool_connections=64,
        parameter_validation=False,  # the models write only valid forms
    )
    session = get_session()
    region = session.get_config_variable("region") or "us-east-1"
    return led_to_store(session.create_client("dynamodb", region_name=region, config=config))


def bound(model: type[M], prefix: str) -> type[M]:
    """The model bound to the table with this prefix. Thread-safe."""
    with _building:
        return cast(type[M], _bound(model, prefix))


@cache
def _bound(model: type[Model], prefix: str) -> type[Model]:
    base: Any = model
    meta = type("Meta", (base.Meta,), {"table_name": prefix + model.Meta.table_name})
    made: Any = type(base)(model.__name__, (_Shared, base), {"Meta": meta, "__module__": model.__module__})
    return cast(type[Model], made)


class _Shared:
    """Puts the shared client into a model's connection at the first call."""

    @classmethod
    def _get_connection(cls) -> Any:
        found = super()._get_connection()  # type: ignore[misc]  # the model's, which stands behind in the order of bases
        found.connection._client = client()
        return found


def transaction() -> TransactWrite:
    """A context manager that makes all of its writes or none. Run it in `write`."""
    connection = Connection()
    connection._client = client()
    return TransactWrite(connection=connection)


def write(call: Callable[[], Result]) -> Result:
    """Run one write, retried as in `dynamo.write`. Errors: ConditionFailed, StoreUnavailable."""

    def translated() -> Result:
        with _small_clients_errors():
            return call()

    return dynamo.write(translated)


@contextmanager
def reading() -> Iterator[None]:
    """Around reads, including the iteration over a query or scan. Errors: StoreUnavailable."""
    with dynamo.store_errors(), _small_clients_errors():
        yield


@contextmanager
def _small_clients_errors() -> Iterator[None]:
    try:
        yield
    except PynamoDBException as exc:
        # PynamoDB raises a shortened copy of botocore's error, with the original as its cause.
        whole = getattr(exc.cause, "__cause__", None) or exc.cause
        answer = getattr(whole, "response", None)
        if answer is None:
            raise Unanswered(str(exc)) from exc
        raise Refused(answer["Error"]["Code"], answer) from exc
    except BotoCoreError as exc:
        raise Unanswered(str(exc)) from exc
