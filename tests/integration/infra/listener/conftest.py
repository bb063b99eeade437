"""`patient`: the listener as in a local run, with longer deadlines. `quick`: with short ones."""

from collections.abc import Iterator

import pytest

from tests.integration.infra.listener.served import PATIENT, QUICK, Served, served


@pytest.fixture(scope="package")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("patient"), PATIENT) as running:
        yield running


@pytest.fixture(scope="package")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("quick"), QUICK, keepalive=1) as running:
        yield running
