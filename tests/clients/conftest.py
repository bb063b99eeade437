"""`system`: one `make up` with the demo model; `person`: somebody with an API token; `env`: what a client's process
gets. At the end the outcome of each test is written to `build/clients.json`, from which the page is made."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients import page, puppet, run
from tests.clients.puppet import Scripted
from tests.e2e import people
from tests.e2e.conftest import _close_sdks, system  # noqa: F401 (fixtures)
from tests.e2e.people import Person
from tests.e2e.place import Place

Outcomes = dict[str, list[str]]
_outcomes: dict[str, Outcomes] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    path, _, name = report.nodeid.partition("::")
    if report.when == "call" or (report.when == "setup" and not report.passed):
        found: list[Any] = [
            report.outcome,
            getattr(report, "wasxfail", ""),
            *(text for _, text in report.user_properties),
        ]
        _outcomes.setdefault(Path(path).stem.removeprefix("test_"), {})[name] = found


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Clients that did not run keep what was found before."""
    if _outcomes and not hasattr(session.config, "workerinput"):
        page.FOUND.parent.mkdir(exist_ok=True)
        page.FOUND.write_text(json.dumps({**page.found(), **_outcomes}, indent=1))


@pytest.fixture(scope="session")
def person(system: Place) -> Person:  # noqa: F811
    return people.newcomer(system.base_url)


@pytest.fixture(scope="session")
def env(person: Person, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The SDKs read these variables by themselves."""
    return client_environment(person, tmp_path_factory.mktemp("home"))


def client_environment(person: Person, home: Path) -> dict[str, str]:
    return run.environment(
        home,
        OPENAI_BASE_URL=person.base_url + "/v1",
        OPENAI_API_KEY=person.api_token,
        ANTHROPIC_BASE_URL=person.base_url,
        ANTHROPIC_API_KEY=person.api_token,
    )


Newest = Callable[[int], list[dict[str, Any]]]


@pytest.fixture(scope="session")
def newest(person: Person) -> Newest:
    """`newest(3)`: the last three ledger records, newest first."""
    return lambda count: list(person.call("GET", "/usage/logs", params={"limit": count}).json()["data"])


@pytest.fixture(scope="session")
def new_scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Scripted]]:
    """`new_scripted()`: a new person of a gateway with a scripted model behind it."""
    with puppet.opened(tmp_path_factory.mktemp("scripted")) as new:
        yield new


@pytest.fixture
def scripted(new_scripted: Callable[[], Scripted]) -> Scripted:
    return new_scripted()
