"""What each upstream has cost on a UTC day: one item an upstream and day, in the throttles table, with a TTL.

One conditional write reserves, so of the requests that come at once no more pass than fit under the owner's bound:

    reserve    spent + cost <= bound ─ spent += cost        else the next upstream is asked
    give back  spent -= what the answer did not cost        after the ledger has the record
    ✗ killed   the reservation stays spent until the day ends

Neither write is repeated without an answer: a second reservation would block money, and a second give-back would free
money that is spent. See docs/adr/0112-the-day-of-a-paid-upstream.md.
"""

import logging
import random
import time
from typing import Any

from sluice.adapters.aws.json_service import HOT, JsonService, Refused, Unanswered
from sluice.domain.errors import StoreUnavailable
from sluice.domain.periods import day_of
from sluice.ports.gateway import Reserved

log = logging.getLogger("sluice.store")

SCHEMA = 1
KEPT_SECONDS = 8 * 86_400  # so that an owner who looks after a week still finds the day
GIVE_BACK_ATTEMPTS = 4  # of a write that the store refuses because there are too many
PAUSE_SECONDS = 0.025

# `:room` is the bound less this cost. That a day's first cost fits, which makes the item, is checked before the write.
FITS = "attribute_not_exists(spent_micro_usd) OR spent_micro_usd <= :room"
RESERVE = "ADD spent_micro_usd :cost SET ttl_s = :ttl_s, #schema = :schema"
IS_SPENT = "spent_micro_usd >= :rest"  # not below zero, should somebody have removed the item meanwhile
GIVE_BACK = "ADD spent_micro_usd :less"


class DynamoSpend:
    """`sluice.ports.gateway.Spend`."""

    def __init__(self, client: JsonService, table_prefix: str) -> None:
        self._client, self._table = client, table_prefix + "throttles"

    def reserve(self, upstream: str, most_a_day: int, micro_usd: int, now_ms: int) -> Reserved | None:
        reserved = Reserved(upstream, day_of(now_ms), micro_usd)
        if micro_usd > most_a_day:
            return None
        if micro_usd == 0:  # free, whatever is spent already
            return reserved
        values = {
            ":cost": _number(micro_usd),
            ":room": _number(most_a_day - micro_usd),
            ":ttl_s": _number(now_ms // 1000 + KEPT_SECONDS),
            ":schema": _number(SCHEMA),
        }
        names = {"ExpressionAttributeNames": {"#schema": "schema"}}
        return reserved if self._write(reserved, FITS, RESERVE, values, **names) else None

    def give_back(self, reserved: Reserved, micro_usd: int) -> None:
        values = {":rest": _number(micro_usd), ":less": _number(-micro_usd)}
        for attempt in range(GIVE_BACK_ATTEMPTS):
            try:
                if not self._write(reserved, IS_SPENT, GIVE_BACK, values):
                    log.warning("%s has cost less on %s than was reserved", reserved.upstream, reserved.day)
                return
            except StoreUnavailable as exc:
                if attempt + 1 == GIVE_BACK_ATTEMPTS or not _did_nothing(exc.__cause__):
                    raise
            time.sleep(random.uniform(0, PAUSE_SECONDS * 2**attempt))

    def spent(self, upstream: str, now_ms: int) -> int:
        request = {"TableName": self._table, "Key": _key(upstream, day_of(now_ms)), "ConsistentRead": True}
        try:
            item = self._client.call("GetItem", request).get("Item", {})
        except (Refused, Unanswered) as exc:
            raise StoreUnavailable() from exc
        return int(item["spent_micro_usd"]["N"]) if item else 0

    def _write(self, of: Reserved, condition: str, change: str, values: dict[str, Any], **names: Any) -> bool:
        """Whether the condition held. Errors: StoreUnavailable, also where the write may have been made."""
        request = {
            "TableName": self._table,
            "Key": _key(of.upstream, of.day),
            "ConditionExpression": condition,
            "UpdateExpression": change,
            "ExpressionAttributeValues": values,
            **names,
        }
        try:
            self._client.call("UpdateItem", request, once=True)
        except Refused as exc:
            if exc.code == "ConditionalCheckFailedException":
                return False
            problem: Exception = exc
        except Unanswered as exc:
            problem = exc
        else:
            return True
        log.warning("spend of %s not written: %s", of.upstream, problem)
        raise StoreUnavailable() from problem


def _key(upstream: str, day: str) -> dict[str, Any]:
    """The other keys of the table are hashes, without a slash."""
    return {"throttle_key": {"S": f"spend/{upstream}/{day}"}}


def _number(value: int) -> dict[str, str]:
    return {"N": str(value)}


def _did_nothing(problem: BaseException | None) -> bool:
    """Whether the store has refused the write, as it does where an item or table has too many of them."""
    return isinstance(problem, Refused) and problem.code in HOT.repeated
