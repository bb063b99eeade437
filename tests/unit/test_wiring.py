"""Each object of a process is built once."""

import importlib
import pkgutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from sluice import wiring
from sluice.once import once

AT_ONCE = 16


def test_requests_at_once_get_the_one_object_that_is_built_for_the_first() -> None:
    together, built = threading.Barrier(AT_ONCE), []

    @once
    def inner() -> object:
        time.sleep(0.02)
        built.append("inner")
        return object()

    @once
    def outer() -> list[object]:
        built.append("outer")
        return [inner()]

    def ask(number: int) -> object:
        together.wait(10)
        return outer()[0] if number % 2 else inner()

    with ThreadPoolExecutor(AT_ONCE) as threads:
        assert len(set(threads.map(ask, range(AT_ONCE)))) == 1
    assert sorted(built) == ["inner", "outer"]


def test_a_build_that_fails_is_tried_again() -> None:
    answers = iter([None, "built"])

    @once
    def fragile() -> str:
        if (answer := next(answers)) is None:
            raise OSError
        return answer

    try:
        fragile()
    except OSError:
        assert fragile() == fragile() == "built"


def test_the_wiring_builds_nothing_twice() -> None:
    """`functools.cache` builds once for each thread that comes before the first has ended."""
    for found in pkgutil.iter_modules(wiring.__path__):
        module = importlib.import_module(f"sluice.wiring.{found.name}")
        assert not [name for name, member in vars(module).items() if hasattr(member, "cache_parameters")], found.name
