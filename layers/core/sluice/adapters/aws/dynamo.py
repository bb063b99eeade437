"""DynamoDB for everything except the hot path and the models: plain values in and out, errors of the domain."""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from sluice.adapters.aws.dynamo_client import DynamoClient
from sluice.adapters.aws.json_service import Refused, Unanswered
from sluice.domain.errors import StoreUnavailable
from sluice.once import once

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Result = TypeVar("Result")

CONFLICT_ATTEMPTS = 6
CONFLICT_BASE_SECONDS = 0.025
BATCH, GET_BATCH = 25, 100  # the limits of BatchWriteItem and BatchGetItem
PAGE = 500  # items a query reads at once: without a limit Dynoxide reads all items under a key for each page
# Another transaction holds the item, or the table is throttled. Nothing was written, so a retry is correct.
TRANSIENT = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
TRANSIENT_ERRORS = frozenset({"TransactionConflictException", "TransactionInProgressException"})


class ConditionFailed(Exception):
    """A condition of the write did not hold. `failed`: the positions in its transaction, (0,) for a single write.

    `old` is the existing item as plain values, if the write requested it (`ALL_OLD`).
    """

    def __init__(self, failed: tuple[int, ...] = (0,), old: Mapping[str, Any] | None = None) -> None:
        super().__init__(failed)
        self.failed = failed
        self.old: Mapping[str, Any] = old or {}


@once
def client() -> "DynamoDBClient":
    """`AWS_ENDPOINT_URL_DYNAMODB`, then `AWS_ENDPOINT_URL`, then AWS: botocore's own order. Thread-safe."""
    return DynamoClient()  # type: ignore[return-value]  # of the same form, for the calls made here


@contextmanager
def store_errors() -> Iterator[None]:
    """Translates the client's errors. Errors: ConditionFailed, StoreUnavailable."""
    try:
        yield
    except Refused as exc:
        failed = _failed_conditions(exc)
        if failed and not _is_transient(exc):  # beside a conflict the failed conditions are not certain
            old: Any = exc.response.get("Item", {})
            raise ConditionFailed(failed, values(old)) from exc
        raise StoreUnavailable() from exc
    except Unanswered as exc:
        raise StoreUnavailable() from exc


def _failed_conditions(exc: Refused) -> tuple[int, ...]:
    if exc.code == "ConditionalCheckFailedException":
        return (0,)
    return tuple(place for place, code in enumerate(_reasons(exc)) if code == "ConditionalCheckFailed")


def _reasons(exc: Refused) -> list[str]:
    return [reason.get("Code", "None") for reason in exc.response.get("CancellationReasons", [])]


def write(call: Callable[[], Result], sleep: Callable[[float], None] = time.sleep) -> Result:
    """Run one write; if another transaction blocks it, retry with jitter for about a second.

    The client itself does not retry conflicts, neither of transactions nor of single writes.
    Errors: ConditionFailed, StoreUnavailable.
    """
    with store_errors():
        for attempt in range(1, CONFLICT_ATTEMPTS):
            try:
                return call()
            except Refused as exc:
                if not _is_transient(exc):
                    raise
            sleep(random.uniform(0, CONFLICT_BASE_SECONDS * 2**attempt))
        return call()


def _is_transient(exc: Refused) -> bool:
    """True also if another position failed its condition, because the blocking write may be the cause of that."""
    return exc.code in TRANSIENT_ERRORS or not TRANSIENT.isdisjoint(_reasons(exc))


# --- calls that several tables share


def query(
    table: str, key: Mapping[str, str], *, index: str = "", begins: str = "", only: tuple[str, ...] = ()
) -> Iterator[dict[str, Any]]:
    """Every item under one key, as plain values. Pages are read on demand, consistently except from an index.

    `begins`: how an `item_id` begins. `only`: the attributes to read. Errors: StoreUnavailable.
    """
    ((name, wanted),) = key.items()
    begun = {":begins": attribute(begins)} if begins else {}
    request: dict[str, Any] = {
        "TableName": table,
        "KeyConditionExpression": "#key = :key" + (" AND begins_with(item_id, :begins)" if begins else ""),
        "ExpressionAttributeNames": {"#key": name, **{f"#only{place}": one for place, one in enumerate(only)}},
        "ExpressionAttributeValues": {":key": attribute(wanted), **begun},
        "Limit": PAGE,
        **({"ProjectionExpression": ", ".join(f"#only{place}" for place in range(len(only)))} if only else {}),
        **({"IndexName": index} if index else {"ConsistentRead": True}),
    }
    while True:
        with store_errors():
            page = client().query(**request)
        yield from map(values, page["Items"])
        if "LastEvaluatedKey" not in page:
            return
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def delete_all(table: str, keys: Iterable[Mapping[str, str]], sleep: Callable[[float], None] = time.sleep) -> None:
    """Delete in batches, read from `keys` as it goes; missing items are no error. Errors: StoreUnavailable, after which
    some are deleted."""
    more = ({"DeleteRequest": {"Key": item(key)}} for key in keys)
    in_vain = 0
    unprocessed: Any = []
    while batch := unprocessed + list(islice(more, BATCH - len(unprocessed))):
        with store_errors():
            answer = client().batch_write_item(RequestItems={table: batch})
        unprocessed = answer.get("UnprocessedItems", {}).get(table, [])
        in_vain = in_vain + 1 if len(unprocessed) == len(batch) else 0
        if in_vain == CONFLICT_ATTEMPTS:
            raise StoreUnavailable()
        if unprocessed:  # the table is throttled
            sleep(random.uniform(0, CONFLICT_BASE_SECONDS * 2**in_vain))


def delete_some(table: str, keys: Iterable[Mapping[str, str]], most: int) -> bool:
    """Delete the first `most`. → whether these were all. Errors: as `delete_all`."""
    some = list(islice(keys, most))
    delete_all(table, some)
    return len(some) < most


def get_all(
    table: str, keys: Iterable[Mapping[str, str]], sleep: Callable[[float], None] = time.sleep
) -> Iterator[dict[str, Any]]:
    """The items under these keys that exist, as plain values, unordered; read in batches and consistently.

    Errors: StoreUnavailable.
    """
    more = (item(key) for key in keys)
    in_vain = 0
    left: Any = []
    while batch := left + list(islice(more, GET_BATCH - len(left))):
        with store_errors():
            answer = client().batch_get_item(RequestItems={table: {"Keys": batch, "ConsistentRead": True}})
        yield from map(values, answer["Responses"].get(table, []))
        unprocessed: Any = answer.get("UnprocessedKeys", {})
        left = unprocessed.get(table, {}).get("Keys", [])
        in_vain = in_vain + 1 if len(left) == len(batch) else 0
        if in_vain == CONFLICT_ATTEMPTS:
            raise StoreUnavailable()
        if left:  # the answer was full, or the table is throttled
            sleep(random.uniform(0, CONFLICT_BASE_SECONDS * 2**in_vain))


# --- values: strings, integers, booleans, None, lists and maps of these


def attribute(value: Any) -> dict[str, Any]:
    """DynamoDB's form of a plain value. Errors: TypeError for other types, floats included."""
    match value:
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": str(value)}
        case int():
            return {"N": str(value)}
        case None:
            return {"NULL": True}
        case Mapping():
            return {"M": item(value)}
        case list() | tuple():
            return {"L": [attribute(element) for element in value]}
    raise TypeError(f"cannot store a {type(value).__name__}")


def item(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: attribute(value) for name, value in values.items()}


def value(stored: Mapping[str, Any]) -> Any:
    """The plain value of a DynamoDB attribute. All numbers in our tables are integers."""
    kind, content = next(iter(stored.items()))
    match kind:
        case "N":
            return int(content)
        case "M":
            return values(content)
        case "L":
            return [value(element) for element in content]
        case "NULL":
            return None
    return content


def values(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value(content) for name, content in stored.items()}
