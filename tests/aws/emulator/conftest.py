"""One emulator, one deployment and one real model server for the whole session."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws.emulator import accidents
from tests.aws.emulator.deployment import Deployment, parameters
from tests.aws.emulator.people import admin as new_admin
from tests.aws.emulator.people import newcomer
from tests.aws.emulator.server import Emulator, running
from tests.e2e.people import Person
from tests.integration.inference.server import Server
from tests.integration.inference.server import running as running_model


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    folder = tmp_path_factory.mktemp("emulator")
    with running(folder) as emulator:
        yield emulator
    shutil.rmtree(folder, ignore_errors=True)  # some hundred MB of packages, unpacked


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """llama.cpp under gunicorn with the demo model, as in the image function, at its own URL."""
    with running_model(tmp_path_factory.mktemp("model")) as server:
        yield server


@pytest.fixture(scope="session")
def deployment(build: Path, emulator: Emulator, model: Server, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    made = Deployment(emulator, build, tmp_path_factory.mktemp("packages"), parameters(model.url))
    made.prepare()
    made.deploy()
    return made


@pytest.fixture(scope="session")
def ada(deployment: Deployment) -> Person:
    return newcomer(deployment)


@pytest.fixture(scope="session")
def admin(deployment: Deployment) -> Person:
    return new_admin(deployment)


@pytest.fixture(scope="session")
def killed(deployment: Deployment, model: Server) -> accidents.Killed:
    return accidents.killed_over_an_answer(deployment, model)


@pytest.fixture(scope="session")
def unsent(deployment: Deployment) -> str:
    """An address whose mail SES refused while the domain was unverified."""
    return accidents.registered_while_ses_refuses(deployment)
