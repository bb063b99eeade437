"""The fuzzer itself: each of its checks fails on a planted fault, and a seed makes the same requests again."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.books import disagreements
from tests.fuzz import __main__ as fuzz
from tests.fuzz import checks
from tests.fuzz.cases import Case, Cases
from tests.fuzz.world import STATUS, Reply

pytestmark = pytest.mark.slow  # seconds together: not in `make test-fast`

ROOT = Path(__file__).parents[3]
CASE = Case("app", "GET / HTTP/1.1\r\n\r\n")
MIB = 2**20


@pytest.fixture(scope="module")
def cases() -> Cases:
    return Cases(1)


def test_a_seed_makes_the_same_requests(cases: Cases) -> None:
    again, other = Cases(1), Cases(2)
    made = [cases.case(number) for number in range(300)]
    assert made == [again.case(number) for number in range(300)]
    assert made != [other.case(number) for number in range(300)]
    assert [Case.of(json.loads(json.dumps(case.as_json()))) for case in made] == made
    assert {(case.target, case.raw) for case in made} == {(t, r) for t in ("app", "engine") for r in (True, False)}


def test_every_route_of_the_document_and_every_page_is_asked(cases: Cases) -> None:
    document = json.loads((ROOT / "functions/web/openapi.json").read_text())
    known = {(rule.replace("<path:", "<").replace("<", "{").replace(">", "}"), m) for rule, m, *_ in cases.routes}
    for path, methods in document["paths"].items():
        for method in methods.keys() & {"get", "post", "put", "patch", "delete"}:
            assert (path, method.upper()) in known
    assert {("/my/chats/{chat_id}/messages", "POST"), ("/manage/users/{user_id}/role", "POST")} <= known


def test_ids_and_lengths_are_filled_in() -> None:
    case = Case("app", "POST /chats/@chat_id@ HTTP/1.1\r\nContent-Length: @length@\r\n\r\n", b'{"a":"@file_id@@x@"}')
    sent = case.filled({"chat_id": "c1", "file_id": "file-123"})
    head, _, body = sent.partition(b"\r\n\r\n")
    assert body == b'{"a":"file-123@x@"}' and head.endswith(b"Content-Length: %d" % len(body)) and b"/chats/c1" in head


STREAM = b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {"error":{"code":"internal_error"}}\n\n'


@pytest.mark.parametrize(
    ("statuses", "body", "raw", "fault"),
    [
        ([500], b"", False, "status 500"),
        ([200, 404, 504], b"", True, "status 504"),
        ([502], b"", False, None),
        ([501], b"", False, "status 501"),
        ([501], b"", True, None),
        ([], b"", False, checks.SILENT),
        ([], b"", True, None),
        ([200], STREAM, False, "an internal error in a stream"),
        ([200], STREAM.replace(b"event-stream", b"html"), False, None),
        ([429], b"", False, None),
    ],
)
def test_a_wrong_answer_is_found(statuses: list[int], body: bytes, raw: bool, fault: str | None) -> None:
    assert checks.wrong_answer(statuses, body, raw) == fault


def test_every_answer_on_a_connection_is_seen() -> None:
    assert STATUS.findall(b'HTTP/1.1 400 Bad\r\n\r\n{"error": 1}HTTP/1.1 500 Oh\r\n\r\n') == [b"400", b"500"]


def test_a_request_that_costs_too_much_each_time_is_found() -> None:
    assert checks.too_costly([2.0, 0.6, 0.9]) == "600 ms of CPU before a refusal"
    assert checks.too_costly([2.0, 0.01]) is None  # something ran beside it
    assert checks.refused([400, 404]) and not checks.refused([200, 400]) and not checks.refused([])


def test_memory_that_is_not_given_back_is_found() -> None:
    warm = [{"app": size * MIB} for size in (90, 140, 150, 150)]
    assert checks.not_given_back([*warm, *[{"app": 155 * MIB}] * 8]) == []
    growing = [{"app": (100 + 20 * at) * MIB} for at in range(12)]
    assert checks.not_given_back(growing) == ["app grew from 200 to 280 MiB"]


def test_a_dead_or_restarted_process_is_found() -> None:
    before = {"app": [(1, "a"), (2, "b")], "relay": [(3, "c")]}
    assert checks.not_alive(before, before) == []
    assert checks.not_alive(before, {"app": [(1, "a"), (4, "d")]}) == [
        "app died or was restarted",
        "relay died or was restarted",
    ]


def test_a_broken_ledger_is_found() -> None:
    record: Any = SimpleNamespace(account_id="a", request_id="r", total_tokens=7, prompt_tokens=3, completion_tokens=4)
    own: Any = SimpleNamespace(account_id="a", period_tokens=7, leases={})
    sums = {"a": [1, 3, 4]}
    assert disagreements([record], [own], sums) == []
    assert len(disagreements([record, record], [own], sums)) == 3
    assert disagreements([record], [own], {"a": [1, 3, 5]}) == ["a: the roll-ups differ from the ledger"]
    assert "the ledger 7" in disagreements([record], [SimpleNamespace(**vars(own) | {"period_tokens": 8})], sums)[0]
    held: Any = SimpleNamespace(**vars(own) | {"leases": {"r": 1}})
    assert disagreements([record], [held], sums) == ["a: a lease is left"]
    assert checks.unrecorded({"r", "s"}, {"r"}) == ["request s has no ledger record"]


class Planted:
    """A system that answers as a test says."""

    def __init__(self, *replies: Reply) -> None:
        self.replies, self.sent = list(replies), 0

    def send(self, case: Case) -> Reply:
        self.sent += 1
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    def usable(self) -> bool:
        return True

    def renew(self) -> None: ...

    def processes(self) -> dict[str, object]:
        return {"app": 1 if self.sent < 90 else 2}

    def memory(self) -> dict[str, int]:
        return {"app": self.sent * MIB}


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., fuzz.Run]:
    monkeypatch.setattr(fuzz.time, "sleep", lambda _: None)
    monkeypatch.setattr(fuzz, "CORPUS", tmp_path / "corpus.json")
    fuzz.CORPUS.write_text("[]")
    return lambda *replies: fuzz.Run(Planted(*replies), 1)  # type: ignore[arg-type]


def test_a_503_is_a_fault_when_it_comes_three_times(running: Callable[..., fuzz.Run]) -> None:
    busy, good, broken = (Reply([status], b"", 0) for status in (503, 200, 500))
    assert running(busy, busy, good).fault(CASE) is None
    assert running(busy).fault(CASE) == "status 503"
    assert running(busy, broken).fault(CASE) == "status 500"


def test_cpu_is_measured_again_before_it_is_a_fault(running: Callable[..., fuzz.Run]) -> None:
    dear, cheap = Reply([422], b"", 0.3), Reply([422], b"", 0.001)
    assert running(dear, dear, cheap).fault(CASE) is None
    assert "300 ms" in str(running(dear).fault(CASE))
    assert running(Reply([200], b"", 0.3)).fault(CASE) is None


def test_a_fault_becomes_an_entry_of_the_corpus_which_is_replayed_first(running: Callable[..., fuzz.Run]) -> None:
    run = running(Reply([500], b"", 0))
    run.until(30)
    assert len(run.faults) == fuzz.MOST_FAULTS and run.counts == {"500": fuzz.MOST_FAULTS}
    kept = json.loads(fuzz.CORPUS.read_text())
    assert [entry["fault"] for entry in kept] == ["status 500"] * fuzz.MOST_FAULTS
    name, first = next(running(Reply([200], b"", 0))._all())
    assert name == kept[0]["found"] == "seed 1, case 0" and first == Cases(1).case(0)


def test_each_round_looks_at_the_processes(running: Callable[..., fuzz.Run]) -> None:
    run = running(Reply([200], b"", 0))
    run.world.sent = 95  # type: ignore[attr-defined]
    run._next_round()
    assert run.faults == ["app died or was restarted"] and run.memory == [{"app": 95 * MIB}]
