"""The model's share of Lambda's time limit: read on Lambda only, and never the whole of it."""

import json
import math
import time

import pytest
from flask import Flask

from sluice.http.lambda_deadline import HEADER, SETTLE_SECONDS, seconds_left

NOW_S = 1_800_000_000.0


def left(context: str | None) -> float:
    with Flask("t").test_request_context(headers={} if context is None else {HEADER: context}):
        return seconds_left()


def in_seconds(seconds: float) -> str:
    return json.dumps({"request_id": "x", "deadline": int((NOW_S + seconds) * 1000)})


@pytest.fixture
def on_lambda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
    monkeypatch.setattr(time, "time", lambda: NOW_S)


@pytest.mark.usefixtures("on_lambda")
def test_time_for_the_settlement_is_kept_back() -> None:
    assert left(in_seconds(900)) == 900 - SETTLE_SECONDS


@pytest.mark.usefixtures("on_lambda")
def test_the_model_gets_three_quarters_of_a_short_timeout() -> None:
    assert left(in_seconds(10)) == 7.5


@pytest.mark.usefixtures("on_lambda")
def test_past_the_deadline_nothing_is_left() -> None:
    assert left(in_seconds(-5)) < 0


@pytest.mark.usefixtures("on_lambda")
@pytest.mark.parametrize("context", [None, "", "{", "[]", "7", "{}", '{"deadline": "soon"}', '{"deadline": true}'])
def test_a_context_without_a_deadline_sets_no_limit(context: str | None) -> None:
    assert left(context) == math.inf


def test_outside_lambda_the_header_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_LAMBDA_RUNTIME_API", raising=False)
    assert left(in_seconds(1)) == math.inf


@pytest.mark.usefixtures("on_lambda")
def test_outside_of_a_request_there_is_no_deadline() -> None:
    assert seconds_left() == math.inf
