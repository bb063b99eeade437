from collections import Counter
from dataclasses import dataclass

from functions.inference.engine.queueing import FairQueue


@dataclass(eq=False)
class Item:
    account: str
    number: int
    low: bool = False


def drain(queue: FairQueue[Item], running: Counter[str] | None = None) -> list[str]:
    order = []
    while (item := queue.peek(running or Counter())) is not None:
        queue.remove(item)
        queue.served(item)
        order.append(f"{item.account}{item.number}")
    return order


def filled(*names: str, places: int = 100) -> FairQueue[Item]:
    queue: FairQueue[Item] = FairQueue(places)
    for number, name in enumerate(names):
        assert queue.offer(Item(name, number))
    return queue


def test_one_account_is_served_in_order() -> None:
    assert drain(filled("a", "a", "a")) == ["a0", "a1", "a2"]


def test_a_single_request_is_served_before_another_accounts_burst() -> None:
    assert drain(filled(*"a" * 20, "b"))[:3] == ["a0", "b20", "a1"]


def test_the_account_with_fewest_running_goes_first() -> None:
    assert drain(filled("a", "b"), Counter({"a": 3, "b": 1})) == ["b1", "a0"]


def test_accounts_take_turns() -> None:
    assert drain(filled("a", "a", "b", "b", "c")) == ["a0", "b2", "c4", "a1", "b3"]


def test_a_full_queue_refuses() -> None:
    queue = filled(*"abcd", places=4)
    assert not queue.offer(Item("e", 9))


def test_one_account_cannot_take_every_place() -> None:
    queue = filled("a", "a", places=4)
    assert not queue.offer(Item("a", 9))
    assert queue.offer(Item("b", 9))


def test_a_removed_request_frees_its_place() -> None:
    queue = filled("a", "a", places=4)
    queue.remove(queue.items()[0])
    assert queue.offer(Item("a", 9))
    assert drain(queue) == ["a1", "a9"]


def test_accounts_without_requests_are_forgotten() -> None:
    queue: FairQueue[Item] = FairQueue(4)
    for number in range(20_100):
        queue.offer(item := Item(f"account-{number}", number))
        queue.remove(item)
        queue.served(item)
    assert len(queue._served_at) <= 10_001


def test_the_length_follows_every_change() -> None:
    queue = filled("a", "b", "a")
    assert len(queue) == 3
    queue.remove(queue.items()[0])
    assert len(queue) == 2
    drain(queue)
    assert len(queue) == 0


def test_rows_of_batches_come_after_all_others_and_take_none_of_their_places() -> None:
    queue: FairQueue[Item] = FairQueue(4)
    assert all(queue.offer(Item(f"batch-{number}", number, low=True)) for number in range(4))
    assert not queue.offer(Item("batch-9", 9, low=True))
    assert queue.peek(Counter(), low=False) is None
    assert all(queue.offer(Item(f"a-{number}", number)) for number in range(4))
    assert drain(queue)[:4] == ["a-00", "a-11", "a-22", "a-33"]
    assert len(queue) == 0
