"""Accounts with records in the real ledger, which are delivered to metering like by the stream."""

import time
from collections.abc import Iterable
from typing import Any

from functions.metering.app import handler
from sluice import settings
from sluice.adapters.aws import dynamo
from sluice.domain.ids import request_id
from sluice.domain.periods import period_of
from sluice.domain.usage.ledger import LedgerRecord
from sluice.domain.usage.usage import Amounts, Bucket, roll_up
from sluice.wiring import stores
from tests.integration.accounts.world import World

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def table(name: str) -> str:
    return settings.common().table_prefix + name


class UsageWorld(World):
    def record(self, account_id: str = "usr_a", *, at_ms: int | None = None, **fields: Any) -> LedgerRecord:
        """A settled request in the ledger. Counts differ between records, so that two errors cannot cancel out."""
        at_ms = now_ms() if at_ms is None else at_ms
        identifier = request_id(at_ms)
        prompt, completion = 3 + at_ms % 7, 5 + at_ms % 11
        plain: dict[str, Any] = {
            "account_id": account_id,
            "request_id": identifier,
            "token_id": "tok_a",
            "model": "demo",
            "endpoint": "chat.completions",
            "stream": True,
            "status": 200,
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "cached_tokens": 0,
            "cost_micro_usd": 2 * prompt + 3 * completion,
            "created_ms": at_ms,
            "response_time_ms": 40 + at_ms % 13,
            "ttft_ms": 7,
            "finish_reason": "stop",
            "period": period_of(at_ms),
            **fields,
        }
        return stores.hot_store().put_record(LedgerRecord(**plain))

    def deliver(self, records: Iterable[LedgerRecord], event_name: str = "INSERT") -> list[str]:
        """Delivers records to metering as one batch of the stream. Returns the ids of failed requests."""
        event = {"Records": [stream_record(record, event_name) for record in records]}
        failed = handler(event, None)["batchItemFailures"]
        return [failure["itemIdentifier"] for failure in failed]

    def rollups(self, account_id: str = "usr_a") -> dict[Bucket, Amounts]:
        return stores.rollup_store().between(account_id, "0000-00-00", "9999-99-99")

    def truth(self, account_id: str = "usr_a") -> dict[Bucket, Amounts]:
        """The expected roll-ups: the sums of the ledger."""
        return roll_up(stores.ledger_reader().everything(account_id))

    def item(self, name: str, **key: str) -> dict[str, Any]:
        answer = dynamo.client().get_item(TableName=table(name), Key=dynamo.item(key), ConsistentRead=True)
        return dynamo.values(answer.get("Item", {}))

    def put_item(self, name: str, **values: Any) -> None:
        dynamo.client().put_item(TableName=table(name), Item=dynamo.item(values))

    def set_grant(self, account_id: str, **values: Any) -> None:
        """Replace whole attributes of a grant."""
        self.put_item("grants", **{**self.item("grants", account_id=account_id), **values})


def stream_record(record: LedgerRecord, event_name: str = "INSERT") -> dict[str, Any]:
    keys = dynamo.item({"account_id": record.account_id, "request_id": record.request_id})
    return {
        "eventID": record.request_id,
        "eventName": event_name,
        "eventSource": "aws:dynamodb",
        "dynamodb": {"Keys": keys, "SequenceNumber": record.request_id, "StreamViewType": "KEYS_ONLY"},
    }
