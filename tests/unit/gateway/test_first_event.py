"""A server that only says that it lives is left for the next one, as long as it has not begun its answer."""

from collections.abc import Iterator
from typing import Any

import pytest

from sluice.domain.errors import UpstreamTimeout
from sluice.ports.gateway import Asked, UpstreamCall
from sluice.services.gateway import route
from sluice.services.gateway.circuit import Circuit
from sluice.services.gateway.model_list import ModelList
from sluice.services.gateway.route import FIRST_EVENT_SECONDS, Routed
from sluice.services.gateway.routes import Routes, Server
from tests.fakes.upstream import FakeUpstream, Step, chunk
from tests.unit.gateway.test_routes import CLOUD, ENGINE, terms

PING = b""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(route.time, "monotonic", lambda: now[0])
    return now


def asked(local: FakeUpstream, *others: FakeUpstream) -> tuple[Iterator[bytes], list[str]]:
    """The events of an answer, and which servers were asked."""
    names = ["local:demo", "cloud:demo"][: 1 + len(others)]
    found = terms(upstreams=[ENGINE, CLOUD], models=[{"id": "demo", "upstreams": names}])
    upstreams: list[Any] = [local, *others, *[local] * (1 - len(others))]
    servers = {
        one.name: Server(one, upstream, ModelList(upstream), Circuit(lambda: 0.0))
        for one, upstream in zip(found.upstreams, upstreams, strict=True)
    }
    told: list[Asked] = []
    call = UpstreamCall("/v1/chat/completions", {"model": "demo"}, "req_1", "usr_1", 600.0, asked=told.append)
    events = iter(Routed(lambda: Routes(found, servers), None, lambda: 0).open(call))
    return events, [one.upstream for one in told]


def passing(clock: list[float], seconds: float) -> Step:
    def step() -> None:
        clock[0] += seconds

    return step


def test_after_a_minute_of_pings_the_next_one_answers(clock: list[float]) -> None:
    late = FakeUpstream(PING, passing(clock, FIRST_EVENT_SECONDS + 1), PING, chunk("late"))
    events, _ = asked(late, FakeUpstream(chunk("soon")))
    assert list(events) == [PING, chunk("soon")] and late.streams[0].closed


@pytest.mark.parametrize("begun", [True, False])
def test_without_another_or_after_the_first_event_it_is_waited_for(clock: list[float], begun: bool) -> None:
    first = (chunk("be"),) if begun else ()
    slow = FakeUpstream(PING, *first, passing(clock, FIRST_EVENT_SECONDS + 1), PING, chunk("gun"))
    events, names = asked(slow, *([FakeUpstream(chunk("no"))] if begun else []))
    assert list(events) == [PING, *first, PING, chunk("gun")] and names == ["local"]


def test_the_caller_hears_of_the_last_one_asked(clock: list[float]) -> None:
    late = FakeUpstream(PING, passing(clock, FIRST_EVENT_SECONDS + 1), PING)
    events, _ = asked(late, FakeUpstream(UpstreamTimeout()))
    with pytest.raises(UpstreamTimeout):
        list(events)
