"""The models over the tables of this deployment: one client for all of them, and errors as the small client has them.

PynamoDB gives each model a client of its own, and botocore takes 100 ms of CPU to build one. So the models of a process
share one, built with the deadlines, the endpoint and the credentials of every other call to the store.
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

M = TypeVar("M", bound=Model)
Result = TypeVar("Result")
_building = threading.Lock()


def client() -> Any:
    """botocore's, one for all models. Thread-safe."""
    with _building:
        return _client()


@cache
def _client() -> Any:
    """Its legacy mode alone knows DynamoDB's short pauses (50 ms); the others wait for seconds."""
    config = Config(
        connect_timeout=ORDINARY.connect_seconds,
        read_timeout=ORDINARY.read_seconds,
        retries={"mode": "legacy", "max_attempts": ORDINARY.attempts - 1},
        max_pool_connections=64,
        parameter_validation=False,  # the models write no form that DynamoDB does not know
    )
    session = get_session()
    region = session.get_config_variable("region") or "us-east-1"
    return session.create_client("dynamodb", region_name=region, config=config)


def bound(model: type[M], prefix: str) -> type[M]:
    """The model over the table of this prefix. Thread-safe."""
    with _building:
        return cast(type[M], _bound(model, prefix))


@cache
def _bound(model: type[Model], prefix: str) -> type[Model]:
    base: Any = model
    meta = type("Meta", (base.Meta,), {"table_name": prefix + model.Meta.table_name})
    made: Any = type(base)(model.__name__, (_Shared, base), {"Meta": meta, "__module__": model.__module__})
    return cast(type[Model], made)


class _Shared:
    """Puts the one client into a model's connection, at the first call."""

    @classmethod
    def _get_connection(cls) -> Any:
        found = super()._get_connection()  # type: ignore[misc]  # the model's, which stands behind in the order of bases
        found.connection._client = client()
        return found


def transaction() -> TransactWrite:
    """For a `with`: all of its writes or none. To be run by `write`."""
    connection = Connection()
    connection._client = client()
    return TransactWrite(connection=connection)


def write(call: Callable[[], Result]) -> Result:
    """As `dynamo.write`, and with its errors: ConditionFailed, StoreUnavailable."""

    def translated() -> Result:
        with _small_clients_errors():
            return call()

    return dynamo.write(translated)


@contextmanager
def reading() -> Iterator[None]:
    """Around reads, and around the walk through what a query or a scan finds. Errors: StoreUnavailable."""
    with dynamo.store_errors(), _small_clients_errors():
        yield


@contextmanager
def _small_clients_errors() -> Iterator[None]:
    try:
        yield
    except PynamoDBException as exc:
        # PynamoDB raises a shortened copy of botocore's error, from botocore's.
        whole = getattr(exc.cause, "__cause__", None) or exc.cause
        answer = getattr(whole, "response", None)
        if answer is None:
            raise Unanswered(str(exc)) from exc
        raise Refused(answer["Error"]["Code"], answer) from exc
    except BotoCoreError as exc:
        raise Unanswered(str(exc)) from exc
