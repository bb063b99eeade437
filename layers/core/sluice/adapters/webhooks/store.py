"""The table `webhooks`: an account's webhooks, what waits for them, what was delivered, and reminders.

    account_id  item_id
    usr_…       hook#WEBHOOK            a webhook
                wait#WEBHOOK#EVENT      an event that waits for delivery
                done#WEBHOOK#EVENT      one that was delivered, or given up; TTL
                token#TOKEN             a reminder that an API token expires

What is to be done at some time has `due_shard` and `due`, the keys of the sparse index `due`: webhooks for which
something waits, and reminders. A process that delivers claims its webhook by moving `due` ahead, so each webhook is
delivered to by one process at a time, and a process that died counts as dead when that time has come.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, fields, replace
from typing import Any

from sluice.adapters.aws import dynamo
from sluice.domain.errors import Conflict, NotFound
from sluice.domain.webhooks import CLAIM_MS, Delivery, Event, Webhook, Why

DUE = "due"  # the only shard: five webhooks an account at most, and each written to some ten times a second
HOOK, WAITS, DONE, TOKEN = "hook#", "wait#", "done#", "token#"
KEPT_S = 3 * 24 * 3600  # of what has ended
EXISTS = "attribute_exists(item_id)"
IS_NEW = "attribute_not_exists(item_id)"
IS_ENABLED = "attribute_exists(item_id) AND why = :none"
MAY_BE_CLAIMED = f"{IS_ENABLED} AND due <= :now"  # nobody delivers to it, or that process counts as dead
IS_LEFT_ALONE = f"{IS_ENABLED} AND due > :claim"  # for longer than any claim lasts
CLAIM_IS_HELD = f"{EXISTS} AND due = :claimed"
NO_NEWS = f"{CLAIM_IS_HELD} AND news = :news"  # no event has come since the claim
SECRET_IS_AS_READ = f"{EXISTS} AND secret = :seen"
HOOK_FIELDS = tuple(one.name for one in fields(Webhook) if one.name not in ("account_id", "webhook_id", "due_ms"))


def due_key(due_ms: int) -> str:
    """Milliseconds as text that sorts by time, because all our index keys are strings."""
    return f"{due_ms:015d}"


class DynamoWebhooks:
    """`sluice.ports.webhooks.WebhookStore`."""

    def __init__(self, table_prefix: str) -> None:
        self._table = table_prefix + "webhooks"

    # --- webhooks

    def put(self, webhook: Webhook) -> None:
        kept = {name: value for name, value in asdict(webhook).items() if name in HOOK_FIELDS and value is not None}
        self._write(_item(webhook.account_id, HOOK + webhook.webhook_id, kept))

    def get(self, account_id: str, webhook_id: str) -> Webhook:
        found = self._get(account_id, HOOK + webhook_id)
        if found is None:
            raise NotFound()
        return _webhook(found)

    def of_account(self, account_id: str) -> list[Webhook]:
        found = map(_webhook, dynamo.query(self._table, {"account_id": account_id}, begins=HOOK))
        return sorted(found, key=lambda one: (one.created_ms, one.webhook_id))

    def change(self, webhook: Webhook, events: tuple[str, ...]) -> None:
        self._change(webhook, "SET events = :events", EXISTS, {":events": events})

    def renew(self, webhook: Webhook, secret: str, until_ms: int) -> None:
        values = {":seen": webhook.secret, ":new": secret, ":until": until_ms}
        change = "SET secret = :new, old_secret = :seen, old_until_ms = :until"
        try:
            self._update(webhook, change, SECRET_IS_AS_READ, values)
        except dynamo.ConditionFailed as exc:
            raise Conflict("The secret has just been changed. Read it there.") from exc

    def enable(self, webhook: Webhook, now_ms: int) -> None:
        change = "SET why = :none, failures = :zero, due = :now, due_shard = :shard REMOVE failing_ms"
        self._change(webhook, change, EXISTS, {":none": "", ":zero": 0, **_due(webhook, now_ms)})

    def disable(self, webhook: Webhook, why: Why) -> bool:
        try:
            self._update(webhook, "SET why = :why REMOVE due, due_shard", IS_ENABLED, {":why": why, ":none": ""})
        except dynamo.ConditionFailed:
            return False
        return True

    def delete(self, account_id: str, webhook_id: str) -> bool:
        """The webhook goes first, so that nothing is added to it any more."""
        key = {"TableName": self._table, "Key": _key(account_id, HOOK + webhook_id)}
        gone = dynamo.write(lambda: dynamo.client().delete_item(**key, ReturnValues="ALL_OLD"))
        for begins in (WAITS, DONE):
            self._erase(account_id, f"{begins}{webhook_id}#")
        return "Attributes" in gone

    # --- deliveries

    def add(self, webhook: Webhook, delivery: Delivery) -> bool:
        if self._get(webhook.account_id, _place(DONE, webhook, delivery)) is not None:
            return False
        with suppress(dynamo.ConditionFailed):  # by a process that may have died before it could say so below
            self._put_delivery(WAITS, webhook, delivery, IS_NEW)
        return self._tell(webhook, delivery)

    def again(self, webhook: Webhook, delivery: Delivery) -> bool:
        self._put_delivery(WAITS, webhook, delivery)
        self._delete(webhook.account_id, _place(DONE, webhook, delivery))
        return self._tell(webhook, delivery)

    def _tell(self, webhook: Webhook, delivery: Delivery) -> bool:
        change = "SET due = if_not_exists(due, :now), due_shard = :shard ADD news :one"
        values = {":one": 1, ":none": "", **_due(webhook, delivery.next_ms)}
        try:
            before = self._update(webhook, change, IS_ENABLED, values, "ALL_OLD")
        except dynamo.ConditionFailed:
            self._delete(webhook.account_id, _place(WAITS, webhook, delivery))
            return False
        return "due" not in before

    def deliveries(self, webhook: Webhook, most: int) -> list[Delivery]:
        found = [*self._listed(WAITS, webhook, most, newest=True), *self._listed(DONE, webhook, most, newest=True)]
        return sorted(found, key=lambda one: one.event.event_id, reverse=True)[:most]

    def waiting(self, webhook: Webhook, most: int) -> list[Delivery]:
        return self._listed(WAITS, webhook, most, newest=False)

    def ended(self, webhook: Webhook, event_id: str) -> Delivery | None:
        return self._one(DONE, webhook, event_id)

    def waits(self, webhook: Webhook, event_id: str) -> Delivery | None:
        return self._one(WAITS, webhook, event_id)

    def _one(self, begins: str, webhook: Webhook, event_id: str) -> Delivery | None:
        found = self._get(webhook.account_id, f"{begins}{webhook.webhook_id}#{event_id}")
        return _delivery(found) if found else None

    def hasten(self, webhook: Webhook, deliveries: Iterable[Delivery], now_ms: int) -> None:
        for one in deliveries:
            with suppress(dynamo.ConditionFailed):  # it has ended meanwhile
                place = _place(WAITS, webhook, one)
                self._update(webhook, "SET next_ms = :now", EXISTS, {":now": now_ms}, place=place)
        values = {":none": "", ":now": due_key(now_ms), ":claim": due_key(now_ms + CLAIM_MS)}
        with suppress(dynamo.ConditionFailed):
            self._update(webhook, "SET due = :now", IS_LEFT_ALONE, values)

    def put_back(self, webhook: Webhook, delivery: Delivery) -> None:
        try:
            self._put_delivery(WAITS, webhook, delivery, EXISTS)
        except dynamo.ConditionFailed:
            return  # the webhook was deleted

    def end(self, webhook: Webhook, delivery: Delivery) -> None:
        """An event of a webhook that was deleted meanwhile leaves nothing."""
        waits = {"TableName": self._table, "Key": _key(webhook.account_id, _place(WAITS, webhook, delivery))}
        done = {"TableName": self._table, "Item": self._item(DONE, webhook, delivery)}
        moved: Any = [{"Delete": {**waits, "ConditionExpression": EXISTS}}, {"Put": done}]
        try:
            dynamo.write(lambda: dynamo.client().transact_write_items(TransactItems=moved))
        except dynamo.ConditionFailed:
            return

    def claim(self, account_id: str, webhook_id: str, now_ms: int, until_ms: int) -> Webhook | None:
        wanted = Webhook(account_id, webhook_id, "", (), 0, "")
        values = {":none": "", ":now": due_key(now_ms), ":until": due_key(until_ms)}
        try:
            return _webhook(self._update(wanted, "SET due = :until", MAY_BE_CLAIMED, values, "ALL_NEW"))
        except dynamo.ConditionFailed:
            return None

    def release(self, webhook: Webhook, claimed: Webhook, now_ms: int) -> None:
        assert claimed.due_ms is not None
        kept = "failures = :failures" + (", failing_ms = :failing" if webhook.failing_ms is not None else "")
        removed = " REMOVE failing_ms" if webhook.failing_ms is None else ""
        values: dict[str, Any] = {":claimed": due_key(claimed.due_ms), ":failures": webhook.failures}
        if webhook.failing_ms is not None:
            values[":failing"] = webhook.failing_ms
        if webhook.due_ms is None:
            leaving = removed + (", " if removed else " REMOVE ") + "due, due_shard"
            try:
                self._update(webhook, f"SET {kept}{leaving}", NO_NEWS, {**values, ":news": claimed.news})
                return
            except dynamo.ConditionFailed:
                webhook = replace(webhook, due_ms=now_ms)
        assert webhook.due_ms is not None
        try:
            self._update(
                webhook, f"SET {kept}, due = :due{removed}", CLAIM_IS_HELD, {**values, ":due": due_key(webhook.due_ms)}
            )
        except dynamo.ConditionFailed:
            return

    # --- reminders, and what is due

    def remind(self, account_id: str, token_id: str, due_ms: int) -> None:
        self._write(_item(account_id, TOKEN + token_id, {"due": due_key(due_ms), "due_shard": DUE}))

    def forget(self, account_id: str, token_id: str) -> None:
        self._delete(account_id, TOKEN + token_id)

    def overdue(self, before_ms: int, limit: int) -> list[tuple[str, str]]:
        with dynamo.store_errors():
            page = dynamo.client().query(
                TableName=self._table,
                IndexName="due",
                KeyConditionExpression="due_shard = :shard AND due < :before",
                ExpressionAttributeValues=dynamo.item({":shard": DUE, ":before": due_key(before_ms)}),
                Limit=limit,
            )
        return [(one["account_id"]["S"], one["item_id"]["S"]) for one in page["Items"]]

    def erase_account(self, account_id: str) -> None:
        self._erase(account_id, "")

    # --- items

    def _listed(self, begins: str, webhook: Webhook, most: int, *, newest: bool) -> list[Delivery]:
        begun = dynamo.item({":account": webhook.account_id, ":begins": f"{begins}{webhook.webhook_id}#"})
        with dynamo.store_errors():
            page = dynamo.client().query(
                TableName=self._table,
                KeyConditionExpression="account_id = :account AND begins_with(item_id, :begins)",
                ExpressionAttributeValues=begun,
                ScanIndexForward=not newest,
                Limit=most,
                ConsistentRead=True,
            )
        return [_delivery(dynamo.values(one)) for one in page["Items"]]

    def _put_delivery(self, begins: str, webhook: Webhook, delivery: Delivery, condition: str = "") -> None:
        self._write(self._item(begins, webhook, delivery), condition)

    def _item(self, begins: str, webhook: Webhook, delivery: Delivery) -> dict[str, Any]:
        kept = {name: value for name, value in asdict(delivery).items() if value is not None}
        ends_ms = delivery.until_ms if begins == WAITS else delivery.last_ms or delivery.next_ms
        kept["ttl_s"] = ends_ms // 1000 + KEPT_S
        return _item(webhook.account_id, _place(begins, webhook, delivery), kept)

    def _write(self, whole: Any, condition: str = "") -> None:
        if_so: Any = {"ConditionExpression": condition} if condition else {}
        dynamo.write(lambda: dynamo.client().put_item(TableName=self._table, Item=whole, **if_so))

    def _get(self, account_id: str, item_id: str) -> dict[str, Any] | None:
        with dynamo.store_errors():
            answer = dynamo.client().get_item(TableName=self._table, Key=_key(account_id, item_id), ConsistentRead=True)
        return dynamo.values(answer["Item"]) if "Item" in answer else None

    def _change(self, webhook: Webhook, change: str, condition: str, values: Mapping[str, Any]) -> None:
        try:
            self._update(webhook, change, condition, values)
        except dynamo.ConditionFailed as exc:
            raise NotFound() from exc

    def _update(
        self,
        webhook: Webhook,
        change: str,
        condition: str,
        values: Mapping[str, Any],
        returned: Any = "NONE",
        *,
        place: str = "",
    ) -> dict[str, Any]:
        """Of the webhook's item, or of that in this place."""
        answer = dynamo.write(
            lambda: dynamo.client().update_item(
                TableName=self._table,
                Key=_key(webhook.account_id, place or HOOK + webhook.webhook_id),
                UpdateExpression=change,
                ConditionExpression=condition,
                ExpressionAttributeValues=dynamo.item(values),
                ReturnValues=returned,
            )
        )
        return dynamo.values(answer.get("Attributes", {}))

    def _delete(self, account_id: str, item_id: str) -> None:
        key = _key(account_id, item_id)
        dynamo.write(lambda: dynamo.client().delete_item(TableName=self._table, Key=key))

    def _erase(self, account_id: str, begins: str) -> None:
        keys = dynamo.query(self._table, {"account_id": account_id}, begins=begins, only=("account_id", "item_id"))
        dynamo.delete_all(self._table, keys)


def _key(account_id: str, item_id: str) -> Any:
    return dynamo.item({"account_id": account_id, "item_id": item_id})


def _item(account_id: str, item_id: str, kept: Mapping[str, Any]) -> dict[str, Any]:
    return dynamo.item({"account_id": account_id, "item_id": item_id, "schema": 1, **kept})


def _place(begins: str, webhook: Webhook, delivery: Delivery) -> str:
    return f"{begins}{webhook.webhook_id}#{delivery.event.event_id}"


def _due(webhook: Webhook, now_ms: int) -> dict[str, str]:
    return {":now": due_key(now_ms), ":shard": DUE}


def _webhook(stored: Mapping[str, Any]) -> Webhook:
    kept = {name: stored[name] for name in HOOK_FIELDS if name in stored}
    due_ms = int(stored["due"]) if "due" in stored else None
    webhook_id = stored["item_id"].removeprefix(HOOK)
    return Webhook(
        **{**kept, "events": tuple(kept["events"])},
        account_id=stored["account_id"],
        webhook_id=webhook_id,
        due_ms=due_ms,
    )


def _delivery(stored: Mapping[str, Any]) -> Delivery:
    kept = {one.name: stored[one.name] for one in fields(Delivery) if one.name in stored}
    return Delivery(**{**kept, "event": Event(**stored["event"])})
