"""Reads one table's DynamoDB stream from a checkpoint: every shard, each after its parent.

What the service answers in JSON is what Lambda's event holds: times in seconds, binary values in base64.
"""

import time
from collections.abc import Iterator
from typing import Any

from infra.local.checkpoint import Checkpoint
from sluice.adapters.aws.json_service import JsonService, Refused

BATCH = 100
SHARDS_EVERY_SECONDS = 30.0
LOST_PLACE = frozenset({"ExpiredIteratorException", "TrimmedDataAccessException"})


class StreamReader:
    """`poll()` yields batches; the caller stores the checkpoint. Errors: Refused, Unanswered."""

    def __init__(self, client: JsonService, stream_arn: str, checkpoint: Checkpoint) -> None:
        self._client, self._arn, self._checkpoint = client, stream_arn, checkpoint
        self._iterators: dict[str, str] = {}
        self._ended: set[str] = set()
        self._shards: list[dict[str, Any]] = []
        self._shards_asked = -SHARDS_EVERY_SECONDS

    def poll(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Yields (shard, records in Lambda's format) for every shard that has new records."""
        for shard in self._open_shards():
            records = self._read(shard)
            if records:
                yield shard, [{**record, "eventSourceARN": self._arn} for record in records]

    def forget(self) -> None:
        """Read from the checkpoint again. Call it after a failure."""
        self._iterators.clear()

    def _open_shards(self) -> list[str]:
        if time.monotonic() - self._shards_asked >= SHARDS_EVERY_SECONDS or not self._shards:
            self._shards = self._list_shards()
            self._shards_asked = time.monotonic()
        known = {shard["ShardId"] for shard in self._shards}
        waiting = known - self._ended
        return [
            shard["ShardId"]
            for shard in self._shards
            if shard["ShardId"] in waiting and shard.get("ParentShardId") not in waiting
        ]

    def _list_shards(self) -> list[dict[str, Any]]:
        shards: list[dict[str, Any]] = []
        more: dict[str, str] = {}
        while True:
            page = self._client.call("DescribeStream", {"StreamArn": self._arn, **more})["StreamDescription"]
            shards += page["Shards"]
            if not page.get("LastEvaluatedShardId"):
                return shards
            more = {"ExclusiveStartShardId": page["LastEvaluatedShardId"]}

    def _read(self, shard: str) -> list[dict[str, Any]]:
        try:
            iterator = self._iterators.get(shard) or self._iterator(shard)
            answer = self._client.call("GetRecords", {"ShardIterator": iterator, "Limit": BATCH})
        except Refused as exc:
            if exc.code not in LOST_PLACE:
                raise
            self._iterators.pop(shard, None)
            return []
        following = answer.get("NextShardIterator")
        if following:
            self._iterators[shard] = following
        else:
            self._iterators.pop(shard, None)
            self._ended.add(shard)
            self._shards_asked = -SHARDS_EVERY_SECONDS  # list the shards again, to find its children
        return list(answer["Records"])

    def _iterator(self, shard: str) -> str:
        after = self._checkpoint.after(shard)
        place = {"ShardIteratorType": "TRIM_HORIZON"}
        if after is not None:
            place = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": after}
        try:
            return self._ask(shard, place)
        except Refused as exc:
            if exc.code != "TrimmedDataAccessException":
                raise
            # The stream no longer has that record, so read from its oldest one.
            return self._ask(shard, {"ShardIteratorType": "TRIM_HORIZON"})

    def _ask(self, shard: str, place: dict[str, str]) -> str:
        asked = {"StreamArn": self._arn, "ShardId": shard, **place}
        return str(self._client.call("GetShardIterator", asked)["ShardIterator"])
