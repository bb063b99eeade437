"""The throttles table: counters of attempts, each taken by one conditional update. See docs/adr/0020-no-lock-out.md.

As in admission, the first write assumes a likely state of the item. If the condition fails, DynamoDB returns the item,
which gives the real refusal or the right condition for the next try. Parallel free attempts do not disturb each other.
"""

from collections.abc import Mapping
from typing import Any

from sluice.adapters.aws import dynamo
from sluice.domain.accounts.throttles import GOOD_HISTORY_MS, Counter, Policy, refused
from sluice.domain.errors import TooManyAttempts

SCHEMA = 1
ATTEMPTS = 4  # one guess, one with the item read, and two more in case others change it

# There is no counter, or a recent one with free attempts left: add to it.
IS_FREE = "attribute_not_exists(throttle_key) OR (#count < :last_free AND last_ms > :stale_ms)"
ADD = "SET #count = if_not_exists(#count, :none) + :units, last_ms = :now_ms, ttl_s = :ttl_s, #schema = :schema"
IS_NEW = "attribute_not_exists(throttle_key)"
# The counter is old enough to be forgotten: start again (`good_until_ms` lives longer, and stays).
IS_STALE = "last_ms <= :stale_ms"
START_AGAIN = (
    "SET #count = :units, last_ms = :now_ms, ttl_s = :ttl_s, not_before_ms = :not_before_ms, #schema = :schema"
)
# No free attempts are left and the wait is over. Of several that waited, the first is accepted.
MAY_GO_ON = "#count = :seen AND not_before_ms = :seen_not_before_ms AND not_before_ms <= :now_ms"
MAY_GO_ON_FIRST = "#count = :seen AND attribute_not_exists(not_before_ms)"
GO_ON = "SET #count = :next, last_ms = :now_ms, ttl_s = :ttl_s, not_before_ms = :not_before_ms, #schema = :schema"


class DynamoThrottles:
    """`sluice.ports.Throttles`."""

    remembers = True

    def __init__(self, table_prefix: str) -> None:
        self._table = table_prefix + "throttles"

    def take(self, key: str, policy: Policy, now_ms: int, units: int = 1) -> Counter:
        """Errors: TooManyAttempts, StoreUnavailable."""
        seen: Mapping[str, Any] | None = None
        for _ in range(ATTEMPTS):
            change, condition, special = _next_write(seen, policy, now_ms, units)
            values = {":now_ms": now_ms, ":ttl_s": now_ms // 1000 + policy.kept_seconds, **special}
            stored, made = self._update(key, change, condition, values)
            if made:
                return _counter(stored)
            seen = stored
        raise TooManyAttempts(1)  # others changed the counter each time

    def peek(self, key: str) -> Counter:
        with dynamo.store_errors():
            answer = dynamo.client().get_item(
                TableName=self._table, Key=dynamo.item({"throttle_key": key}), ConsistentRead=True
            )
        return _counter(dynamo.values(answer.get("Item", {})))

    def give_back(self, key: str, now_ms: int) -> None:
        """Takes back an attempt. A wait that it caused stays, because that is cheap and harder to exploit."""
        values = {":none": 0, ":one": 1}
        self._update(key, "SET #count = #count - :one, #schema = :schema", "#count > :none", values)

    def succeeded(self, key: str, now_ms: int) -> None:
        """Forget the attempts, and remember that this client knew the password."""
        good_until_ms = now_ms + GOOD_HISTORY_MS
        self._update(
            key,
            "SET #count = :none, last_ms = :now_ms, good_until_ms = :good, ttl_s = :ttl_s, #schema = :schema"
            " REMOVE not_before_ms",
            "",
            {":none": 0, ":now_ms": now_ms, ":good": good_until_ms, ":ttl_s": good_until_ms // 1000},
        )

    def _update(
        self, key: str, change: str, condition: str, values: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], bool]:
        """The item after the write, or the item that failed the condition; and whether the write was made."""
        conditions: dict[str, Any] = {"ConditionExpression": condition} if condition else {}
        try:
            answer = dynamo.write(
                lambda: dynamo.client().update_item(
                    TableName=self._table,
                    Key=dynamo.item({"throttle_key": key}),
                    UpdateExpression=change,
                    ExpressionAttributeNames={"#count": "count", "#schema": "schema"},
                    ExpressionAttributeValues=dynamo.item({**values, ":schema": SCHEMA}),
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    **conditions,
                )
            )
        except dynamo.ConditionFailed as exc:
            return exc.old, False
        return dynamo.values(answer["Attributes"]), True


def _next_write(
    seen: Mapping[str, Any] | None, policy: Policy, now_ms: int, units: int
) -> tuple[str, str, dict[str, Any]]:
    """Update, condition and values of the next write. Errors: TooManyAttempts when the seen item requires a wait."""
    stale_ms = now_ms - policy.forget_seconds * 1000
    free = {":last_free": policy.free - units, ":stale_ms": stale_ms, ":none": 0, ":units": units}
    if not seen:
        if policy.free > units:
            return ADD, IS_FREE, free
        return START_AGAIN, IS_NEW, _first(policy, now_ms, units)
    counter = _counter(seen)
    if counter.is_stale(policy, now_ms):
        return START_AGAIN, IS_STALE, {":stale_ms": stale_ms, **_first(policy, now_ms, units)}
    if counter.count < policy.free - units:
        return ADD, IS_FREE, free
    if counter.not_before_ms > now_ms:
        raise refused(counter.not_before_ms, now_ms)
    following = counter.count + units
    values = {":seen": counter.count, ":next": following, ":not_before_ms": now_ms + policy.wait_ms(following)}
    if "not_before_ms" not in seen:
        return GO_ON, MAY_GO_ON_FIRST, values
    return GO_ON, MAY_GO_ON, {**values, ":seen_not_before_ms": counter.not_before_ms}


def _first(policy: Policy, now_ms: int, units: int) -> dict[str, Any]:
    return {":units": units, ":not_before_ms": now_ms + policy.wait_ms(units)}


def _counter(stored: Mapping[str, Any]) -> Counter:
    return Counter(*(stored.get(name, 0) for name in ("count", "not_before_ms", "last_ms", "good_until_ms")))


class NoThrottles:
    """`SLUICE_AUTH_THROTTLE=off`, for test suites that log in a thousand times from one address."""

    remembers = False

    def take(self, key: str, policy: Policy, now_ms: int, units: int = 1) -> Counter:
        return Counter()

    def peek(self, key: str) -> Counter:
        return Counter()

    def give_back(self, key: str, now_ms: int) -> None:
        pass

    def succeeded(self, key: str, now_ms: int) -> None:
        pass
