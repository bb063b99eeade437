"""Every record is handled or dead-lettered, in order. Attempts during an outage are not counted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.local import delivery
from infra.local.delivery import DeadLetters, Delivery, Stopping
from sluice.domain.errors import StoreUnavailable

Records = list[dict[str, Any]]


def records(*numbers: int) -> Records:
    return [{"eventID": f"e{n}", "eventName": "INSERT", "dynamodb": {"SequenceNumber": str(n)}} for n in numbers]


class World:
    """A handler with scripted answers, and the calls that it got."""

    def __init__(self, folder: Path, answer: Callable[[list[int]], Any], store_answers: bool = True) -> None:
        self.folder, self.answer = folder, answer
        self.seen: list[list[int]] = []
        self.done: list[int] = []
        self.pauses: list[float] = []
        self.patience = 100
        letters = DeadLetters(folder / "dead.jsonl")
        self.delivery = Delivery("mails", self._handle, letters, lambda: store_answers, self._pause)

    def _handle(self, event: dict[str, Any], _context: object) -> Any:
        numbers = [int(record["dynamodb"]["SequenceNumber"]) for record in event["Records"]]
        self.seen.append(numbers)
        return self.answer(numbers)

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if len(self.pauses) >= self.patience:
            raise Stopping

    def deliver(self, *numbers: int) -> None:
        self.delivery.deliver(records(*numbers), lambda number: self.done.append(int(number)))

    def dead(self) -> list[int]:
        file = self.folder / "dead.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return [int(json.loads(line)["record"]["dynamodb"]["SequenceNumber"]) for line in lines]


def failed(*numbers: int) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": str(number)} for number in numbers]}


@pytest.mark.parametrize("answer", [None, {}, {"batchItemFailures": []}])
def test_whole_batch_is_checkpointed_once_at_its_last_record(tmp_path: Path, answer: Any) -> None:
    world = World(tmp_path, lambda _numbers: answer)
    world.deliver(1, 2, 3)
    assert world.seen == [[1, 2, 3]]
    assert world.done == [3]


def test_partial_failure_is_retried_from_the_first_failed_record(tmp_path: Path) -> None:
    answers = iter([failed(3, 2), {}])
    world = World(tmp_path, lambda _numbers: next(answers))
    world.deliver(1, 2, 3, 4)
    assert world.seen == [[1, 2, 3, 4], [2, 3, 4]]
    assert world.done == [1, 4]
    assert world.dead() == []


def test_a_record_that_always_fails_is_dead_lettered_and_the_others_are_handled(tmp_path: Path) -> None:
    world = World(tmp_path, lambda numbers: failed(2) if 2 in numbers else {})
    world.deliver(1, 2, 3)
    assert world.dead() == [2]
    assert world.done == [1, 2, 3]
    assert sum(2 in seen for seen in world.seen) == delivery.MAX_ATTEMPTS


def test_failing_batch_is_bisected_until_the_bad_record_is_alone(tmp_path: Path) -> None:
    def answer(numbers: list[int]) -> Any:
        if 3 in numbers:
            raise ValueError("cannot read this")
        return {}

    world = World(tmp_path, answer)
    world.deliver(1, 2, 3, 4)
    assert world.dead() == [3]
    assert world.done[-1] == 4
    assert [seen for seen in world.seen if 4 in seen and 3 not in seen] == [[4]]


def test_unknown_identifier_means_the_whole_batch_failed(tmp_path: Path) -> None:
    answers = iter([failed(99), {}])
    world = World(tmp_path, lambda _numbers: next(answers))
    world.deliver(1, 2)
    assert world.seen == [[1, 2], [1, 2]]
    assert world.done == [2]


@pytest.mark.parametrize("raises", [True, False])
def test_no_record_is_dead_lettered_while_the_store_is_down(tmp_path: Path, raises: bool) -> None:
    def answer(numbers: list[int]) -> Any:
        if raises:
            raise StoreUnavailable()
        return failed(*numbers)

    world = World(tmp_path, answer, store_answers=False)
    world.patience = delivery.MAX_ATTEMPTS * 5
    with pytest.raises(Stopping):
        world.deliver(1)
    assert world.dead() == []
    assert world.done == []


def test_pauses_grow_up_to_a_limit(tmp_path: Path) -> None:
    world = World(tmp_path, lambda numbers: failed(*numbers))
    world.deliver(1)
    assert world.pauses == sorted(world.pauses)
    assert world.pauses[-1] <= delivery.LONGEST_BACKOFF_SECONDS
