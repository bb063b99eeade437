"""The schedule of a local run goes on, whatever a handler does."""

import logging

import pytest

from infra.local import schedule
from sluice.domain.errors import StoreUnavailable


@pytest.mark.parametrize(
    ("error", "level", "traceback"), [(StoreUnavailable(), "WARNING", False), (KeyError("a"), "ERROR", True)]
)
def test_a_store_that_is_not_ready_is_said_in_one_line_and_asked_again(
    error: Exception, level: str, traceback: bool, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[float] = []

    def handler(event: object, context: object) -> None:
        calls.append(0)
        if len(calls) == 1:
            raise error

    def stopping(seconds: float) -> bool:
        return len(calls) == 2

    with caplog.at_level(logging.WARNING):
        schedule.run(handler, 60, stopping)
    (line,) = caplog.records
    assert (line.levelname, line.exc_info is not None) == (level, traceback)
    assert "\n" not in line.getMessage() and "again in 60 s" in line.getMessage()
    assert len(calls) == 2
