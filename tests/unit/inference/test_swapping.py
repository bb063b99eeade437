"""Models that take turns in a memory that does not hold all of them."""

import threading

import pytest

from functions.inference.errors import Draining, ModelUnavailable, Overloaded
from functions.inference.models.memory import to_evict
from functions.inference.models.swapping import FAULT_KEPT_S
from tests.unit.inference.fake_models import MIB, Running, has, served


def test_a_model_is_loaded_at_its_first_request_and_stays() -> None:
    with Running(served("a"), served("b")) as running:
        running.touch("a")
        running.touch("b")
        running.touch("a")
        assert running.loader.done == ["load a", "load b"]


def test_the_one_used_longest_ago_goes_for_the_next() -> None:
    with Running(served("a"), served("b"), served("c")) as running:
        for name in "abac":
            running.touch(name)
        assert running.loader.done == ["load a", "load b", "free b", "load c"]


def test_a_use_counts_until_its_end() -> None:
    with Running(served("a"), served("b"), served("c")) as running:
        old = running.got("a")
        running.touch("b")
        old.leave()
        running.touch("c")
        assert running.loader.done[2:] == ["free a", "load c"]


def test_one_with_running_requests_stays_if_another_can_go() -> None:
    with Running(served("a"), served("b"), served("c")) as running:
        running.got("a")
        running.touch("b")
        running.touch("c")
        assert running.loader.done[2:] == ["free b", "load c"]


def test_no_more_goes_than_must() -> None:
    assert to_evict(served("new", 200), one := [served("a", 10), served("b", 200)], one, 250 * MIB) == one[1:]


def test_pinned_ones_never_go() -> None:
    with Running(served("a", pinned=True), served("b"), served("c")) as running:
        for name in "abcb":
            running.touch(name)
        assert running.loader.done == ["load a", "load b", "free b", "load c", "free c", "load b"]


def test_models_of_one_file_share_its_memory() -> None:
    one, other = served("a", 200), served("b", 200)
    object.__setattr__(other, "path", one.path)
    with Running(one, other, budget_mib=300) as running:
        running.touch("a")
        running.touch("b")
        assert running.loader.done == ["load a", "load b"]


def test_where_all_are_in_use_running_requests_end_first_and_new_ones_wait_behind() -> None:
    with Running(served("a", 200), served("b", 200)) as running:
        first = running.got("a")
        for_b = running.ask("b")
        until_leaving(running, "a")
        late = running.ask("a")
        assert has(late, 0) is None and has(for_b, 0) is None
        assert running.loader.done == ["load a"], "the running request keeps its model"
        first.leave()
        assert has(for_b) == "b"
        assert has(late, 0) is None
        for_b.leave()
        assert has(late) == "a"
        assert running.loader.done == ["load a", "free a", "load b", "free b", "load a"]


def until_leaving(running: Running, name: str) -> None:
    while not running.place(name).leaving:
        threading.Event().wait(0.001)


def test_all_that_wait_for_a_model_get_it_together() -> None:
    with Running(served("a", 200), served("b", 200)) as running:
        first = running.got("a")
        waiting = [running.ask("b") for _ in range(3)]
        until_leaving(running, "a")
        late = running.ask("a")
        waiting.append(running.ask("b"))
        first.leave()
        assert [has(use) for use in waiting] == ["b"] * 4
        for use in waiting:
            use.leave()
        assert has(late) == "a"


@pytest.mark.parametrize("callers", [2, 5])
def test_two_models_asked_for_at_once_and_without_end_both_answer(callers: int) -> None:
    with Running(served("a", 200), served("b", 200), queue_places=100) as running:
        answered = {"a": 0, "b": 0}
        lock = threading.Lock()

        def ask(name: str) -> None:
            for _ in range(20):
                use = running.ask(name, f"{name}{threading.get_ident()}")
                assert has(use, 20) == name
                with lock:
                    answered[name] += 1
                use.leave()

        threads = [threading.Thread(target=ask, args=(name,)) for name in "ab" for _ in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert answered == {"a": 20 * callers, "b": 20 * callers}
        assert all(place.uses == 0 and not place.waiting for place in running.models.places)


def test_two_requests_at_once_load_a_model_once() -> None:
    with Running(served("a")) as running:
        running.loader.held["a"] = threading.Event()
        one = running.ask("a")
        assert running.loader.began.wait(10)
        two = running.ask("a")
        running.loader.held["a"].set()
        assert (has(one), has(two)) == ("a", "a")
        assert running.loader.done == ["load a"]


def test_a_swap_that_nobody_waits_for_any_more_does_not_happen() -> None:
    with Running(served("a", 200), served("b", 200)) as running:
        first = running.got("a")
        for_b = running.ask("b")
        until_leaving(running, "a")
        late = running.ask("a")
        for_b.leave()
        assert has(late) == "a"
        first.leave()
        late.leave()
        running.touch("a")
        assert running.loader.done == ["load a"]


def test_leaving_twice_or_before_the_model_is_there_counts_once() -> None:
    with Running(served("a"), served("b")) as running:
        running.loader.held["a"] = threading.Event()
        gone = running.ask("a")
        gone.leave()
        gone.leave()
        assert running.models.waiting == 0
        running.loader.held["a"].set()
        use = running.got("a")
        use.leave()
        use.leave()
        assert running.place("a").uses == 0


@pytest.mark.parametrize("where", ["check", "load"])
def test_a_model_that_cannot_be_loaded_fails_alone(where: str) -> None:
    now = [100.0]
    with Running(served("a"), served("b"), clock=lambda: now[0]) as running:
        running.loader.damaged["b"] = where
        running.touch("a")
        use = running.ask("b")
        with pytest.raises(ModelUnavailable, match="b is damaged"):
            has(use)
        use.leave()
        with pytest.raises(ModelUnavailable, match="b is damaged"):
            running.ask("b")
        running.touch("a")
        running.loader.damaged.clear()
        now[0] += FAULT_KEPT_S
        running.touch("b")


def test_nothing_goes_for_a_file_that_is_damaged() -> None:
    with Running(served("a", 200), served("b", 200)) as running:
        running.loader.damaged["b"] = "check"
        running.touch("a")
        with pytest.raises(ModelUnavailable):
            has(running.ask("b"))
        assert running.loader.done == ["load a"]


def test_what_can_never_be_loaded_is_said_at_once() -> None:
    with (
        Running(served("a", fault="The model a does not fit.")) as running,
        pytest.raises(ModelUnavailable, match="fit"),
    ):
        running.ask("a")


def test_the_places_to_wait_are_bounded_and_no_account_has_more_than_half() -> None:
    with Running(served("a", 200), served("b", 200), queue_places=4) as running:
        running.got("a")
        for _ in range(2):
            running.ask("b", "greedy")
        with pytest.raises(Overloaded):
            running.ask("b", "greedy")
        running.ask("b", "modest").leave()
        running.ask("b", "modest")
        running.ask("b", "other")
        with pytest.raises(Overloaded):
            running.ask("b", "fourth")


def test_stopping_fails_what_waits_and_not_what_runs() -> None:
    with Running(served("a", 200), served("b", 200)) as running:
        use, waiting = running.got("a"), running.ask("b")
        running.models.stop()
        with pytest.raises(Draining):
            has(waiting)
        with pytest.raises(Draining):
            running.ask("a")
        assert has(use, 0) == "a"


def test_at_start_what_fits_is_loaded_in_order() -> None:
    running = Running(served("a"), served("b", 200), served("c"), served("d"), budget_mib=250)
    running.models.load_what_fits()
    assert running.loader.done == ["load a", "load c"]


def test_a_row_of_a_batch_makes_no_model_go_that_has_requests() -> None:
    with Running(served("a", 200), served("b", 200)) as running:
        first = running.got("a")
        with pytest.raises(Overloaded):
            running.ask("b", low=True)
        assert has(running.ask("a", low=True)) == "a"
        first.leave()
    with Running(served("a", 200), served("b", 200)) as running:
        running.touch("a")
        assert has(running.ask("b", low=True)) == "b"
